from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from slimline.pipeline.arguments import encode_name, rewrite_arguments
from slimline.pipeline.config_nodes import decode_names
from slimline.pipeline.errors import UserError
from slimline.pipeline.settings import Setting, _settings


class Kind(Enum):
    csv = 1
    json = 2


@dataclass
class Inner:
    rate: float = 0.1
    name: str | None = None


@dataclass
class Toy:
    images: str | None = None
    salt: str = ""
    count: int = 3
    names: list[str] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    parts: list[Inner] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    photos: Any = None
    inner: Inner = field(default_factory=Inner)


SETTINGS: dict[str, Setting] = dict(_settings(Toy, "toy"))


def read(argument: str, *, sweep: bool = False) -> Any:
    """Rewrite one argument and return what Hydra reads: a value, or for a sweep the list of its points' values."""
    [written] = rewrite_arguments([argument], SETTINGS, sweep=sweep)
    override = OverridesParser.create().parse_override(written)
    if not override.is_sweep_override():
        return override.value()
    parser = OverridesParser.create()
    return [parser.parse_override(f"x={one}").value() for one in override.sweep_string_iterator()]


def decoded(values: dict[str, Any]) -> Any:
    node = OmegaConf.create({"weights": values})
    decode_names(node)
    return OmegaConf.to_container(node)["weights"]  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("toy.images=/a b/c", "/a b/c"),
        ("toy.images=it's, a", ["it's", "a"]),  # nothing of that name exists, so the comma separates
        ("toy.images=/Gänseblümchen/Löwenzahn", "/Gänseblümchen/Löwenzahn"),
        ("toy.images=x(1).jpg", "x(1).jpg"),
        ("toy.images=a=b#c", "a=b#c"),
        ("toy.images=null", None),
        ("toy.images='1e3'", "1e3"),
        ('toy.images="it\'s"', "it's"),
        ("toy.images=1e3", "1e3"),
        ("toy.images=007", "007"),
        ("toy.images=1_000", "1_000"),
        ("toy.images=true", "true"),
        ("toy.inner.name=off", "off"),
        ("+toy.inner.name=1.0", "1.0"),
        ("toy.salt=", ""),
        ("toy.salt=null", "null"),
        ("toy.names=ingest", ["ingest"]),
        ("toy.names=1e3", ["1e3"]),
        ("toy.names=[1e3,x]", ["1e3", "x"]),
        ("toy.names=[it's,b c,ü]", ["it's", "b c", "ü"]),
        ("toy.names=['a,b',c]", ["a,b", "c"]),
        ("toy.names=[]", []),
        ("toy.kinds=csv", ["csv"]),
        ("toy.sizes=3", [3]),
        ("toy.photos=a(1).jpg", "a(1).jpg"),
        ("toy.photos=[a(1).jpg,ö]", ["a(1).jpg", "ö"]),
        ("toy.count=4", 4),
        ("toy.count=1e3", 1000),
        ("toy.count=1.5e1", 15),
        ("toy.count=4.0", 4),
        ("toy.count=1.5", 1.5),  # refused by the schema
        ("toy.parts=[{rate:1}]", [{"rate": 1}]),
        ("other=x", "x"),
    ],
)
def test_a_value_is_read_as_it_was_typed(argument: str, value: Any) -> None:
    if isinstance(value, list) and argument.startswith("toy.images"):
        assert read(argument, sweep=True) == value
    else:
        assert read(argument) == value


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("toy.kinds=csv,json", [["csv"], ["json"]]),
        ("toy.names=a,b", [["a"], ["b"]]),
        ("toy.names=[a,b],c", [["a", "b"], ["c"]]),
        ("toy.names=ü,1e3", [["ü"], ["1e3"]]),
        ("toy.images=a,it's", ["a", "it's"]),
        ("toy.images=1e3,2", ["1e3", "2"]),
        ("toy.count=1,2", [1, 2]),
    ],
)
def test_in_a_sweep_each_value_between_commas_is_a_point(argument: str, values: list[Any]) -> None:
    assert read(argument, sweep=True) == values


def test_a_path_that_exists_is_one_value_whatever_its_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("it's, a", "a,b", "[x]", "ü, ö"):
        Path(name).mkdir()
        assert read(f"toy.images={name}") == read(f"toy.images={name}", sweep=True) == name
        assert read(f"toy.names={name}") == [name]
        assert read(f"toy.names=[b,{name}]") == ["b", name]
    for name in ("it's, a/*.jpg", "a,b/missing.jpg", "ü, ö/x?"):
        assert read(f"toy.photos={name}") == name
        assert read(f"toy.photos=[b,{name}]") == ["b", name]


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0,$", exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_path_reaches_the_config(path: str) -> None:
    path = path.strip()
    if not path or path[0] in "'\"[{" or path == "null" or "\\" in path or path.startswith(("choice(", "tag(")):
        return
    assert read(f"toy.images={path}") == path


@pytest.mark.parametrize(
    "argument",
    ["toy.images=${oc.env:HOME}", "toy.names=${toy.kinds}", "toy.count=${toy.x}", "~toy.images", "word", "--flag"],
)
def test_what_is_no_plain_value_stays(argument: str) -> None:
    assert rewrite_arguments([argument], SETTINGS) == [argument]


@pytest.mark.parametrize(
    ("argument", "weights"),
    [
        ("toy.weights.tulips=2", {"tulips": 2}),
        ("toy.weights.French bulldog (old)=2.5", {"French bulldog (old)": 2.5}),
        ("toy.weights.a.b=2", {"a.b": 2}),
        ("toy.weights.Gänse=3", {"Gänse": 3}),
        ("toy.weights={tulips: 2}", {"tulips": 2}),
        ("+toy.weights={tulips: 2}", {"tulips": 2}),
        ("toy.weights={French bulldog [x]: 2, Gänse: 1}", {"French bulldog [x]": 2, "Gänse": 1}),
        ("toy.weights={'it''s': 2}", {"it''s": 2}),
    ],
)
def test_an_open_setting_takes_names_without_a_plus(argument: str, weights: dict[str, float]) -> None:
    [written] = rewrite_arguments([argument], SETTINGS)
    override = OverridesParser.create().parse_override(written)
    assert (override.is_force_add(), override.key_or_group) == (True, "toy.weights")
    assert decoded(override.value()) == weights


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name == name.strip()))
def test_any_name_is_read_back(name: str) -> None:
    override = OverridesParser.create().parse_override(f"x={{{encode_name(name)}:1}}")
    assert decoded(override.value()) == {name: 1}


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("toy.images=", ["toy.images= has no value.", "toy.images=VALUE", "toy.images=null"]),
        ("toy.count=", ["toy.count= has no value.", "toy.count=VALUE"]),
        ("toy.inner.rate=0,01", ["toy.inner.rate=0,01", "toy.inner.rate=0.01", "-m"]),
        ("toy.kinds=csv,json", ["toy.kinds=csv,json", "'toy.kinds=[csv,json]'", "-m"]),
        ("toy.names=a, b", ["'toy.names=[a,b]'"]),
        ("toy.photos=a.jpg,b.jpg", ["'toy.photos=[a.jpg,b.jpg]'"]),
        ("toy.photos=it's.jpg,b.jpg", ["""'toy.photos=[it'"'"'s.jpg,b.jpg]'"""]),
    ],
)
def test_a_value_that_is_missing_or_ambiguous_is_answered(argument: str, said: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        rewrite_arguments([argument], SETTINGS)
    assert all(part in str(caught.value) for part in said), str(caught.value)


@pytest.mark.parametrize("key", ["photos", "names"])
def test_a_list_that_is_given_twice_is_refused_with_one_list(key: str) -> None:
    """`classify.images={a,b}.jpg` reaches the command as two arguments, and Hydra uses the last one alone."""
    given = [f"toy.{key}=a.jpg", f"toy.{key}=it's.jpg"]
    with pytest.raises(UserError) as caught:
        rewrite_arguments(given, SETTINGS)
    problem, advice = str(caught.value).splitlines()
    assert problem == f"toy.{key} is given 2 times, and only the last one would be used: a.jpg, it's.jpg."
    assert shlex.split(advice)[-1] == f"toy.{key}=[a.jpg,it's.jpg]"
    for fine in ([f"toy.{key}=a", f"toy.{key}=a"], [f"toy.{key}=a", f"toy.{key}=[b]"], ["toy.count=1", "toy.count=2"]):
        assert len(rewrite_arguments(fine, SETTINGS)) == 2
