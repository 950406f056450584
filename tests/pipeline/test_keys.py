from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifact import Artifact, Facts, digest_text
from pipeline.content import ContentDigests
from pipeline.keys import code_digests, imported_versions, key_parts, make_key, tracked
from pipeline.stage import Stage, external, stage, untracked


class Schedule(Enum):
    constant = "c"
    cosine = "k"


@dataclass
class Split:
    test: float = 10.0
    salt: str = ""


@dataclass
class Config:
    images: str | None = external(None)
    split: Split = field(default_factory=Split)
    schedule: Schedule = Schedule.cosine
    widths: list[int] = field(default_factory=lambda: [256, 64])
    weights: dict[str, float] = field(default_factory=lambda: {"rose": 2.0, "daisy": 1.0})
    limit: int | None = None
    shuffle: bool = True
    threads: int = untracked(0)


@stage()
def fit(config: Config, out: Path, *, gather: Artifact) -> Facts:
    return {}


def make_artifact(digest: str = "d1", **others: Any) -> Artifact:
    return Artifact(**{**vars(Artifact("gather", "k1", 1, Path("/a"), digest, 1.0, {}, {})), **others})


@pytest.fixture
def contents(tmp_path: Path) -> ContentDigests:
    return ContentDigests(tmp_path / "memory")


@pytest.fixture
def key(contents: ContentDigests) -> Callable[..., str]:
    def make(config: Config | None = None, gather: Artifact | None = None, **others: Any) -> str:
        parts = key_parts(
            others.get("stage", fit),
            config or Config(),
            {"gather": gather or make_artifact()},
            others.get("code", {"toys.fit": "c1"}),
            others.get("versions", {"numpy": "2.1.0"}),
            contents,
        )
        return make_key(parts)

    return make


def test_the_make_up_of_a_key(key: Callable[..., str]) -> None:
    text = (
        '{"code":{"toys.fit":"c1"},"config":{"images":null,"limit":null,"schedule":"cosine","shuffle":true,'
        '"split":{"salt":"","test":10.0,"type":"Split"},"type":"Config","weights":{"daisy":1.0,"rose":2.0},'
        '"widths":[256,64]},"format":1,"inputs":{"gather":"d1"},"stage":"fit","versions":{"numpy":"2.1.0"}}'
    )
    assert key() == digest_text(text)[:32]
    assert key() == "32e37e59263c16588dcf97030dc68188"


def test_an_untracked_field_stays_out(key: Callable[..., str]) -> None:
    assert key(Config(threads=8)) == key(Config())


@pytest.mark.parametrize(
    "change",
    [
        {"split": Split(test=20.0)},
        {"split": Split(salt="x")},
        {"schedule": Schedule.constant},
        {"widths": [64, 256]},
        {"widths": []},
        {"weights": {"rose": 2.0}},
        {"weights": {}},
        {"limit": 0},
        {"shuffle": False},
    ],
    ids=str,
)
def test_every_other_field_is_in_the_key(key: Callable[..., str], change: dict[str, Any]) -> None:
    assert key(replace(Config(), **change)) != key(Config())


def test_the_order_of_a_dict_is_not_in_the_key(key: Callable[..., str]) -> None:
    assert key(Config(weights={"daisy": 1.0, "rose": 2.0})) == key(Config())


def test_a_configs_type_is_in_the_key(key: Callable[..., str]) -> None:
    @dataclass
    class Other(Config):
        pass

    assert key(Other()) != key(Config())


def test_a_nested_configs_type_is_in_the_key(key: Callable[..., str]) -> None:
    @dataclass
    class GroupedSplit(Split):
        pass

    assert key(Config(split=GroupedSplit())) != key(Config())


@pytest.mark.parametrize(
    "change",
    [
        {"code": {"toys.fit": "c2"}},
        {"code": {"toys.fit": "c1", "toys.more": "c1"}},
        {"versions": {"numpy": "2.2.0"}},
        {"versions": {}},
        {"stage": replace(fit, name="refit")},
        {"gather": make_artifact("d2")},
    ],
    ids=["code", "more code", "version", "no version", "stage", "input"],
)
def test_code_versions_stage_and_inputs_are_in_the_key(key: Callable[..., str], change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_an_input_counts_by_its_content_alone(key: Callable[..., str]) -> None:
    other = make_artifact(key="k2", generation=2, path=Path("/b"), seconds=9.0, facts={"count": 1})
    assert key(gather=other) == key()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "rose").mkdir(parents=True)
    (folder / "rose" / "1.jpg").write_text("a")
    return folder


def test_an_external_folder_counts_by_content_wherever_it_lies(
    key: Callable[..., str], photos: Path, tmp_path: Path
) -> None:
    before = key(Config(images=str(photos)))
    (photos / ".DS_Store").write_text("x")
    assert key(Config(images=str(photos))) == before
    (tmp_path / "other").mkdir()
    moved = photos.rename(tmp_path / "other" / "flowers")
    assert key(Config(images=str(moved))) == before


def test_one_more_file_in_an_external_folder_is_another_key(key: Callable[..., str], photos: Path) -> None:
    before = key(Config(images=str(photos)))
    (photos / "rose" / "2.jpg").write_text("a")
    assert key(Config(images=str(photos))) != before


def test_no_external_folder_is_another_key_than_an_empty_one(key: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert key(Config(images=str(tmp_path / "empty"))) != key(Config(images=None))


@dataclass
class Listed:
    """A list of photos, which names files that count too."""

    folder: str = untracked("")
    images: str | None = external(None, more=lambda config: [Path(config.folder) / name for name in "ab"])


def test_files_that_an_external_file_names_are_part_of_the_key(contents: ContentDigests, tmp_path: Path) -> None:
    for name in ("list", "a", "b"):
        (tmp_path / name).write_text(name)
    config = Listed(str(tmp_path), str(tmp_path / "list"))
    before = tracked(config, contents)
    digests = [digest_text(name) for name in ("list", "a", "b")]
    assert before == {"type": "Listed", "images": digest_text("\n".join(digests))}
    (tmp_path / "b").write_text("c")
    changed = tracked(config, contents)
    (tmp_path / "b").unlink()
    gone = tracked(config, contents)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = tracked(config, contents)
    assert len({str(one) for one in (before, changed, gone, moved)}) == 4


def test_what_names_no_files_counts_by_itself(contents: ContentDigests, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("list")
    assert tracked(Listed(images=None), contents) == {"type": "Listed", "images": None}
    assert tracked(Config(images=str(tmp_path / "list")), contents)["images"] == digest_text("list")


def test_a_list_of_external_paths_counts_one_by_one_in_order(contents: ContentDigests, tmp_path: Path) -> None:
    @dataclass
    class Many:
        images: list[str] = external([])  # noqa: RUF009

    for name in "ab":
        (tmp_path / name).write_text(name)
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    a_sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    b_sha256 = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
    assert tracked(Many(paths), contents) == {"type": "Many", "images": [a_sha256, b_sha256]}
    assert tracked(Many(paths[::-1]), contents) == {"type": "Many", "images": [b_sha256, a_sha256]}


def test_an_untracked_field_of_a_nested_config_stays_out(contents: ContentDigests) -> None:
    @dataclass
    class Inner:
        size: int = 1
        threads: int = untracked(1)

    @dataclass
    class Outer:
        inner: Inner = field(default_factory=Inner)
        phases: list[Inner] = field(default_factory=lambda: [Inner(2)])
        named: dict[str, Inner] = field(default_factory=lambda: {"a": Inner(3)})
        pair: tuple[int, Schedule] = (1, Schedule.constant)

    assert tracked(Outer(), contents) == {
        "type": "Outer",
        "inner": {"type": "Inner", "size": 1},
        "phases": [{"type": "Inner", "size": 2}],
        "named": {"a": {"type": "Inner", "size": 3}},
        "pair": [1, "constant"],
    }


# The code: a package `toybox` of a stage and what it imports, written out anew and edited by each test.

TOYBOX = {
    "toybox/__init__.py": '"""Toys."""\n',
    "toybox/fit.py": '''"""Fit."""
from __future__ import annotations
import json
from dataclasses import dataclass
from pathlib import Path
from pipeline.artifact import Facts
from pipeline.stage import stage
from toybox.direct import one
from toybox.nouns import named
from . import sibling


@dataclass
class FitConfig:
    """Settings."""

    size: int = 1


@stage()
def fit(config: FitConfig, out: Path) -> Facts:
    """Fit it."""
    import numpy
    from .inner import late  # inside the function

    return {"size": config.size}
''',
    "toybox/direct.py": "import toybox.deep.deeper\n\none = 1\n",
    "toybox/sibling.py": "two = 2\n",
    "toybox/nouns/__init__.py": '"""Nouns."""\nfrom .table import TABLE\n',
    "toybox/nouns/named.py": "three = 3\n",
    "toybox/nouns/table.py": "from ..cousin import five\nTABLE = {}\n",
    "toybox/nouns/words.tsv": "a\tb\n",
    "toybox/nouns/unused.py": "raise RuntimeError('nothing imports this')\n",
    "toybox/cousin.py": "five = 5\n",
    "toybox/inner.py": "def late():\n    '''Be late.'''\n    return 4\n",
    "toybox/deep/__init__.py": "",
    "toybox/deep/deeper.py": "six = 6\n",
    "toybox/unrelated.py": "seven = 7\n",
}
REACHED = [
    "toybox",
    "toybox.cousin",
    "toybox.deep",
    "toybox.deep.deeper",
    "toybox.direct",
    "toybox.fit",
    "toybox.inner",
    "toybox.nouns",
    "toybox.nouns.named",
    "toybox.nouns.table",
    "toybox.sibling",
]


class Toybox:
    """A package on disk; `digests` are those of its stage, as a new process would find them."""

    def __init__(self, root: Path, forget: Callable[[], None]) -> None:
        self.root = root
        self.forget = forget
        for name, text in TOYBOX.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        self.write(name, text.replace(old, new))

    def stage(self) -> Stage:
        self.forget()
        for name in [name for name in sys.modules if name.partition(".")[0] == "toybox"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        found = importlib.import_module("toybox.fit").fit
        assert isinstance(found, Stage)
        return found

    def digests(self) -> dict[str, str]:
        return code_digests(self.stage())


@pytest.fixture
def toybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_code: Callable[[], None]) -> Iterator[Toybox]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Toybox(tmp_path, forget_code)
    forget_code()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toybox"]:
        del sys.modules[name]


def changed(toybox: Toybox, before: dict[str, str]) -> list[str]:
    after = toybox.digests()
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def test_every_module_that_the_stage_reaches_has_a_digest(toybox: Toybox) -> None:
    assert sorted(toybox.digests()) == REACHED


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("toybox/fit.py", '"""Fit."""', '"""Fit, in other words,\n\nand more of them."""'),
        ("toybox/fit.py", '"""Fit it."""', '"""Fit it well."""'),
        ("toybox/fit.py", '"""Settings."""', '"""What to set."""'),
        ("toybox/fit.py", "# inside the function", "# where it is needed"),
        ("toybox/fit.py", '    """Fit it."""\n', ""),
        ("toybox/inner.py", "Be late.", "Be very late."),
        ("toybox/inner.py", "return 4", "return 4  # always"),
        ("toybox/inner.py", "return 4", "return (\n        4\n    )"),
        ("toybox/nouns/__init__.py", '"""Nouns."""', '"""Words."""'),
    ],
)
def test_editing_docstrings_comments_and_layout_changes_nothing(toybox: Toybox, name: str, old: str, new: str) -> None:
    before = toybox.digests()
    toybox.replace(name, old, new)
    assert changed(toybox, before) == []


def test_editing_the_docstring_of_an_attribute_changes_nothing(toybox: Toybox) -> None:
    toybox.write("toybox/direct.py", 'import toybox.deep.deeper\n\none = 1\n"""The first number."""\n')
    before = toybox.digests()
    toybox.replace("toybox/direct.py", "The first number.", "The least number.")
    assert changed(toybox, before) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "module"),
    [
        ("toybox/fit.py", "size: int = 1", "size: int = 2", "toybox.fit"),
        ("toybox/fit.py", '"size": config.size', '"size": -config.size', "toybox.fit"),
        ("toybox/direct.py", "one = 1", "one = 1.0", "toybox.direct"),
        ("toybox/sibling.py", "two = 2", "two = '2'", "toybox.sibling"),
        ("toybox/inner.py", "return 4", "return 5", "toybox.inner"),
        ("toybox/nouns/named.py", "three = 3", "three = 4", "toybox.nouns.named"),
        ("toybox/nouns/table.py", "TABLE = {}", "TABLE = {1: 1}", "toybox.nouns.table"),
        ("toybox/cousin.py", "five = 5", "five = 6", "toybox.cousin"),
        ("toybox/deep/deeper.py", "six = 6", "six = 7", "toybox.deep.deeper"),
        ("toybox/nouns/words.tsv", "a\tb", "a\tc", "toybox.nouns"),
    ],
    ids=lambda value: value if str(value).endswith((".py", ".tsv")) else "",
)
def test_editing_code_or_data_changes_its_modules_digest_alone(
    toybox: Toybox, name: str, old: str, new: str, module: str
) -> None:
    before = toybox.digests()
    toybox.replace(name, old, new)
    assert changed(toybox, before) == [module]


def test_editing_a_package_itself_changes_its_digest(toybox: Toybox) -> None:
    before = toybox.digests()
    toybox.write("toybox/deep/__init__.py", "import json\n")
    assert changed(toybox, before) == ["toybox.deep"]


def test_one_more_data_file_beside_a_package_changes_its_digest(toybox: Toybox) -> None:
    before = toybox.digests()
    toybox.write("toybox/nouns/more.tsv", "")
    assert changed(toybox, before) == ["toybox.nouns"]


def test_renaming_a_data_file_changes_its_packages_digest(toybox: Toybox) -> None:
    before = toybox.digests()
    (toybox.root / "toybox/nouns/words.tsv").rename(toybox.root / "toybox/nouns/names.tsv")
    assert changed(toybox, before) == ["toybox.nouns"]


def test_bytes_moved_from_one_data_file_to_the_next_change_the_digest(toybox: Toybox) -> None:
    toybox.write("toybox/nouns/x.tsv", "1")
    toybox.write("toybox/nouns/y.tsv", "2")
    before = toybox.digests()
    toybox.write("toybox/nouns/x.tsv", "12")
    toybox.write("toybox/nouns/y.tsv", "")
    assert changed(toybox, before) == ["toybox.nouns"]


def test_editing_an_unrelated_module_changes_nothing(toybox: Toybox) -> None:
    before = toybox.digests()
    toybox.replace("toybox/unrelated.py", "7", "8")
    toybox.write("toybox/nouns/unused.py", "pass\n")
    toybox.write("toybox/another.py", "pass\n")
    assert changed(toybox, before) == []


def test_a_new_import_is_followed(toybox: Toybox) -> None:
    before = toybox.digests()
    toybox.replace("toybox/sibling.py", "two = 2", "from toybox import unrelated\ntwo = 2")
    assert changed(toybox, before) == ["toybox.sibling", "toybox.unrelated"]


def test_imports_that_go_in_a_circle_end(toybox: Toybox) -> None:
    toybox.replace("toybox/cousin.py", "five = 5", "from toybox import nouns, fit\nfive = 5")
    assert sorted(toybox.digests()) == REACHED


def test_a_package_without_init_is_gone_through(toybox: Toybox) -> None:
    toybox.write("toybox/bare/module.py", "eight = 8\n")
    toybox.replace("toybox/sibling.py", "two = 2", "from toybox.bare.module import eight\ntwo = 2")
    before = toybox.digests()
    assert sorted(before) == sorted([*REACHED, "toybox.bare.module"])
    toybox.replace("toybox/bare/module.py", "8", "9")
    assert changed(toybox, before) == ["toybox.bare.module"]


def test_code_that_the_stage_imports_late_is_read_without_being_run(toybox: Toybox) -> None:
    toybox.write("toybox/inner.py", "raise SystemError('this module was run')\n")
    assert sorted(toybox.digests()) == REACHED
    assert "toybox.inner" not in sys.modules


def test_a_module_that_can_not_be_imported_here_counts_all_the_same(toybox: Toybox) -> None:
    toybox.replace("toybox/fit.py", "from .inner import late", "from .optional.extra import late")
    toybox.write("toybox/optional/__init__.py", "import no_such_distribution\n")
    toybox.write("toybox/optional/extra.py", "late = 1\n")
    before = toybox.digests()
    toybox.write("toybox/optional/extra.py", "late = 2\n")
    assert changed(toybox, before) == ["toybox.optional.extra"]


def test_versions_are_those_of_the_distributions_that_the_code_imports(toybox: Toybox) -> None:
    toybox.replace("toybox/cousin.py", "five = 5", "import yaml\nfive = 5")
    toybox.replace("toybox/unrelated.py", "seven = 7", "import omegaconf\nseven = 7")
    expected = {name: importlib.metadata.version(name) for name in ("PyYAML", "numpy")}
    assert imported_versions(toybox.stage()) == expected


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], dict[str, str]]]:
    """Give a function that writes a stage into a file of that name and digests its code."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written: list[str] = []

    def digests(name: str, size: str) -> dict[str, str]:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        code = TOYBOX["toybox/fit.py"].replace("size: int = 1", f"size: int = {size}")
        path.write_text(
            "\n".join(line for line in code.splitlines() if "from toybox" not in line and "from ." not in line)
        )
        importlib.invalidate_caches()
        written.append(name)
        return code_digests(importlib.import_module(name).fit)

    yield digests
    for name in {*written, *(name.partition(".")[0] for name in written)}:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["toyalone_{}", "toybare_{}.fit"], ids=["one file", "a package without init"])
def test_a_stages_code_counts_wherever_it_stands(alone: Callable[[str, str], dict[str, str]], name: str) -> None:
    first, second = alone(name.format(1), "1"), alone(name.format(2), "2")
    assert list(first.values()) != list(second.values())
