from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

from slimline.pipeline.errors import UserError
from slimline.pipeline.settings import Setting
from slimline.pipeline.sweeping.space import Dimension, Interval, number_text, read_space, value_of


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("a.b=1,2", ("1", "2")),
        ("a.b=choice(x,y)", ("x", "y")),
        ("a.b=range(0,3)", ("0", "1", "2")),
        ("a.b=range(1.0,2.0,0.5)", ("1.0", "1.5")),
        ("a.b=1,1,2,1", ("1", "2")),
        ("a.b=[1,2],[3]", ("[1,2]", "[3]")),
        ("a.b={x:1},{x:2}", ("{x:1}", "{x:2}")),
        ("a.b=null,true,1e-3", ("null", "True", "0.001")),
        ("a.b='x,y',z", ("'x,y'", "z")),
        ("+a.b=1,2", ("1", "2")),
        ("a.b=sort(3,1,2)", ("1", "2", "3")),
    ],
)
def test_several_values_are_a_dimension(argument: str, values: tuple[str, ...]) -> None:
    space = read_space(["x=5", argument])
    assert space.fixed == ("x=5",)
    assert space.dimensions == (Dimension(argument.partition("=")[0], values),)
    assert (space.searched, space.grid_size) == (False, len(values))


def test_a_glob_takes_the_options_of_a_group(tmp_path: Path) -> None:
    for name in ("linear", "mlp", "large"):
        (tmp_path / "head").mkdir(exist_ok=True)
        (tmp_path / "head" / f"{name}.yaml").write_text("{}")
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{tmp_path}"))
    assert read_space(["head=glob(l*)"], loader).dimensions == (Dimension("head", ("large", "linear")),)
    assert read_space(["head=glob(*,exclude=l*)"], loader).dimensions == (Dimension("head", ("mlp",)),)
    with pytest.raises(UserError, match=r"head=glob\(z\*\)"):
        read_space(["head=glob(z*)"], loader)


@pytest.mark.parametrize("argument", ["a.b=range(0,0)", "a.b=range(3,1)"])
def test_a_setting_without_any_value_is_refused(argument: str) -> None:
    with pytest.raises(UserError) as caught:
        read_space([argument])
    assert str(caught.value).startswith(f"{argument} has no values")


@pytest.mark.parametrize(
    ("argument", "interval"),
    [
        ("a.b=interval(0,0.2)", Interval(0.0, 0.2)),
        ("a.b=interval(1,5)", Interval(1.0, 5.0)),
        ("a.b=interval(1.0,5)", Interval(1.0, 5.0)),
        ("a.b=float(interval(1,5))", Interval(1.0, 5.0)),
        ("a.b=int(interval(1.2,5.0))", Interval(1.0, 5.0, whole=True)),
        ("a.b=tag(log,interval(1e-3,1))", Interval(0.001, 1.0, log=True)),
        ("a.b=int(tag(log,interval(1,100)))", Interval(1.0, 100.0, log=True, whole=True)),
        ("a.b=int(interval(-2,-1))", Interval(-2.0, -1.0, whole=True)),
    ],
)
def test_an_interval_is_searched(argument: str, interval: Interval) -> None:
    space = read_space([argument, "c=1,2"])
    assert space.dimensions[0] == Dimension("a.b", interval=interval)
    assert space.searched


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.b=interval(1,0)"], "a.b=interval(1,0): the interval has no numbers between its ends."),
        (["a.b=interval(1,1)"], "a.b=interval(1,1): the interval has no numbers between its ends."),
        (["a.b=interval(nan,1)"], "a.b=interval(nan,1): the ends of an interval are finite numbers."),
        (["a.b=interval(0,inf)"], "a.b=interval(0,inf): the ends of an interval are finite numbers."),
        (["a.b=tag(log,interval(0,1))"], "an interval with tag(log, ...) must begin above 0."),
        (["a.b=tag(lg,interval(1,2))"], "the tag lg is unknown."),
        (["a.b=1,2", "a.b=3,4"], "a.b is varied twice."),
        (["run.name=a,b"], "run.name=a,b: a sweep cannot use several folders of runs."),
        (["run.directory=a,b"], "run.directory=a,b: a sweep cannot use several folders of runs."),
        (["run.sweep.seeds=1,2"], "run.sweep.seeds=1,2: run.sweep.seeds applies to the whole sweep."),
        (["+run.sweep.seeds=1,2"], "run.sweep.seeds applies to the whole sweep."),
        (["run.plan=true,false"], "run.plan applies to the whole sweep."),
        (["run.force=[a],[b]"], "run.force applies to the whole sweep."),
        (["run.targets=[a],[b]"], "run.targets applies to the whole sweep."),
    ],
)
def test_a_mistake_is_answered(arguments: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_space(arguments)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_hydras_own_settings_are_not_part_of_a_point() -> None:
    assert read_space(["hydra.verbose=true", "hydra/launcher=joblib", "a=1"]).fixed == ("a=1",)


def test_the_last_setting_of_a_grid_changes_fastest() -> None:
    space = read_space(["a=1,2", "b=x,y,z"])
    assert [" ".join(space.overrides(one)) for one in space.grid()] == [
        "a=1 b=x",
        "a=1 b=y",
        "a=1 b=z",
        "a=2 b=x",
        "a=2 b=y",
        "a=2 b=z",
    ]


def test_without_anything_varied_a_grid_has_one_point() -> None:
    space = read_space(["a=1"])
    assert (space.grid_size, list(space.grid()), space.overrides({})) == (1, [{}], ["a=1"])
    assert space.describe({}) == "no overrides"


def test_a_setting_is_named_by_its_last_part_where_that_is_unique() -> None:
    space = read_space(["train.rate=1,2", "train.seed=1,2", "+head.seed=1,2"])
    values = {"train.rate": "1", "train.seed": "2", "+head.seed": "1"}
    assert space.describe(values) == "rate=1 train.seed=2 +head.seed=1"


def test_the_ends_of_a_dimension_are_its_values_or_those_of_its_interval() -> None:
    listed, whole, real = read_space(["a=1,2,3", "b=int(interval(1,5))", "c=interval(1,2.5)"]).dimensions
    assert (listed.ends(), whole.ends(), real.ends()) == (("1", "2", "3"), ("1", "5"), ("1.0", "2.5"))


@pytest.mark.parametrize(("number", "whole"), [(1e-7, False), (3.0, True), (0.1, False), (1e22, False), (-2.5, False)])
def test_a_number_is_written_so_that_hydra_reads_the_same(number: float, whole: bool) -> None:
    found = value_of(number_text(number, whole))
    assert found == number
    assert isinstance(found, int if whole else float)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("0.5", 0.5), ("[1,2]", [1, 2]), ("null", None), ("'a b'", "a b")]
)
def test_a_value_is_what_hydra_reads(text: str, value: Any) -> None:
    assert value_of(text) == value


def test_an_interval_of_a_setting_that_takes_whole_numbers_has_no_others() -> None:
    settings = {"train.epochs": Setting(int, None, False, 1)}
    [one] = read_space(["train.epochs=interval(1,5)"], settings=settings).dimensions
    assert one.interval and one.interval.whole and one.ends() == ("1", "5")
    with pytest.raises(UserError, match=r"takes whole numbers\.\nWrite whole numbers: 'train.epochs=interval\(1,3\)'"):
        read_space(["train.epochs=interval(1.5,2.5)"], settings=settings)


@pytest.mark.parametrize(
    "argument", ["head=interval(0,1)", "ingest.images=interval(0,1)", "ingest.images=interval(0,1),b"]
)
def test_an_interval_of_something_else_than_a_number_is_refused(argument: str) -> None:
    settings = {"ingest.images": Setting(str, None, True, None)}
    with pytest.raises(UserError, match="an interval"):
        read_space([argument], settings=settings)


@pytest.mark.parametrize("name", ["run.sweep.metric", "run.sweep.columns"])
def test_a_list_of_the_sweep_needs_brackets(name: str) -> None:
    with pytest.raises(UserError, match=rf"the values need brackets\.\nWrite '{name}=\[a\.b,c\.d\]'"):
        read_space([f"{name}=a.b,c.d"])
