"""The code that a stage reaches and its digests: after edits, after moves, and from the cache."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slimline.pipeline import parsed as parsed_modules
from slimline.pipeline.code import Code, CodeReader
from slimline.pipeline.stage import Stage

# A package `toybox` with a stage and its imports, which each test writes to disk and edits.

TOYBOX = {
    "toybox/__init__.py": '"""Toys."""\n',
    "toybox/fit.py": '''"""Fit."""
from __future__ import annotations
import json
from dataclasses import dataclass
from pathlib import Path
from slimline.pipeline.artifact import Facts
from slimline.pipeline.stage import stage
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
    """A package on disk; `digests` returns those of its stage, as a new process would compute them."""

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
        return self.code().digests

    def code(self, choices: dict[str, list[str]] | None = None, display_only: tuple[str, ...] = ()) -> Code:
        return CodeReader(self.memory, display_only).read(self.stage(), choices)

    @property
    def memory(self) -> Path:
        return self.root / "memory.json"


@pytest.fixture
def toybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_code: Callable[[], None]) -> Iterator[Toybox]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Toybox(tmp_path, forget_code)
    forget_code()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toybox"]:
        del sys.modules[name]


def changed(toybox: Toybox, before: dict[str, str]) -> list[str]:
    return changed_from(toybox.digests(), before)


def changed_from(after: dict[str, str], before: dict[str, str]) -> list[str]:
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


def test_adding_a_data_file_to_a_package_changes_its_digest(toybox: Toybox) -> None:
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


def test_circular_imports_end(toybox: Toybox) -> None:
    toybox.replace("toybox/cousin.py", "five = 5", "from toybox import nouns, fit\nfive = 5")
    assert sorted(toybox.digests()) == REACHED


def test_a_package_without_init_is_followed(toybox: Toybox) -> None:
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


def test_a_module_that_cannot_be_imported_still_counts(toybox: Toybox) -> None:
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
    assert toybox.code().versions == expected


def test_a_module_is_parsed_only_once(toybox: Toybox, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    tree = parsed_modules._tree
    monkeypatch.setattr(parsed_modules, "_tree", lambda text: parsed.append(text) or tree(text))
    before = toybox.digests()
    assert len(parsed) == len(REACHED)
    parsed.clear()
    assert toybox.digests() == before
    assert parsed == []
    toybox.replace("toybox/inner.py", "return 4", "return 5")
    toybox.replace("toybox/sibling.py", "two = 2", "two = 2  # or so")
    assert changed(toybox, before) == ["toybox.inner"]
    assert len(parsed) == 2


def test_the_same_text_in_another_package_has_other_imports(toybox: Toybox) -> None:
    text = "from .inner import late\none = 1\nsix = 6\n"
    toybox.write("toybox/direct.py", text)
    toybox.write("toybox/deep/deeper.py", text)
    toybox.write("toybox/deep/inner.py", "late = 1\n")
    toybox.replace("toybox/sibling.py", "two = 2", "import toybox.direct, toybox.deep.deeper\ntwo = 2")
    before = toybox.digests()
    assert {"toybox.inner", "toybox.deep.inner"} <= set(before)
    assert toybox.digests() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1'])
def test_an_unreadable_cache_is_replaced(toybox: Toybox, text: str) -> None:
    before = toybox.digests()
    toybox.memory.write_text(text)
    assert toybox.digests() == before
    assert len(json.loads(toybox.memory.read_text())) == len(REACHED)


def test_the_cache_has_a_maximum_size(toybox: Toybox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed_modules, "MOST_REMEMBERED", len(REACHED) + 2)
    for number in range(5):
        toybox.write("toybox/inner.py", f"late = {number}\n")
        assert sorted(toybox.digests()) == REACHED
        assert len(json.loads(toybox.memory.read_text())) <= len(REACHED) + 2


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], dict[str, str]]]:
    """Return a function that writes a stage into a file of that name and digests its code."""
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
        return CodeReader(tmp_path / "memory.json").read(importlib.import_module(name).fit).digests

    yield digests
    for name in {*written, *(name.partition(".")[0] for name in written)}:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["toyalone_{}", "toybare_{}.fit"], ids=["one file", "a package without init"])
def test_a_stages_code_counts_in_a_single_file_and_without_init(
    alone: Callable[[str, str], dict[str, str]], name: str
) -> None:
    first, second = alone(name.format(1), "1"), alone(name.format(2), "2")
    assert list(first.values()) != list(second.values())


def test_display_only_modules_and_their_own_imports_do_not_count(toybox: Toybox) -> None:
    found = toybox.code(display_only=("toybox.nouns.table", "toybox.deep")).digests
    assert sorted(found) == [
        name
        for name in REACHED
        if name not in ("toybox.nouns.table", "toybox.cousin", "toybox.deep.deeper", "toybox.deep")
    ]


def test_a_display_only_name_does_not_match_longer_names(toybox: Toybox) -> None:
    assert "toybox.cousin" in toybox.code(display_only=("toybox.cous",)).digests


CHOSEN = {"toybox.nouns.table": ["toybox.chosen:ROW"]}


def lists(toybox: Toybox, *names: str) -> None:
    """Write the table with these names."""
    entries = ", ".join(f"'{name}': 'toybox.{name}:ROW'" for name in names)
    toybox.write(
        "toybox/nouns/table.py", f"from ..cousin import five\nTable = dict\nWIDE = 1\nTABLE = Table({{{entries}}})\n"
    )


def test_a_chosen_module_counts_with_its_imports_if_its_table_is_reached(toybox: Toybox) -> None:
    lists(toybox, "chosen")
    toybox.write("toybox/chosen.py", "from toybox.shapes import round\n")
    toybox.write("toybox/shapes.py", "round = 1\n")
    toybox.write("toybox/other.py", "square = 1\n")
    found = toybox.code(CHOSEN).digests
    assert sorted(found) == sorted([*REACHED, "toybox.chosen", "toybox.shapes"])
    toybox.replace("toybox/other.py", "1", "2")
    lists(toybox, "chosen", "other")
    assert toybox.code(CHOSEN).digests == found
    other = toybox.code({"toybox.nouns.table": ["toybox.chosen:OTHER"]}).digests
    assert changed_from(other, found) == ["toybox.nouns.table"]
    none = toybox.code({"toybox.nouns.table": []}).digests
    assert changed_from(none, found) == ["toybox.chosen", "toybox.nouns.table", "toybox.shapes"]
    toybox.replace("toybox/shapes.py", "1", "2")
    assert changed_from(toybox.code(CHOSEN).digests, found) == ["toybox.shapes"]
    assert sorted(toybox.digests()) == REACHED
    assert sorted(toybox.code({"toybox.unrelated": ["toybox.chosen"]}).digests) == REACHED


def test_the_rest_of_a_tables_module_counts(toybox: Toybox) -> None:
    lists(toybox, "chosen")
    toybox.write("toybox/chosen.py", "ROW = 1\n")
    found = toybox.code(CHOSEN).digests
    toybox.replace("toybox/nouns/table.py", "WIDE = 1", "WIDE = 2")
    assert changed_from(toybox.code(CHOSEN).digests, found) == ["toybox.nouns.table"]


def test_a_chosen_module_of_another_package_counts_without_being_imported(toybox: Toybox, tmp_path: Path) -> None:
    toybox.write("toyplugin/__init__.py", "")
    toybox.write("toyplugin/network.py", "from toyplugin import layers\nimport yaml\n")
    toybox.write("toyplugin/layers.py", "wide = 1\n")
    found = toybox.code({"toybox.nouns.table": ["toyplugin.network:NETWORK"]})
    assert {"toyplugin", "toyplugin.network", "toyplugin.layers"} <= set(found.digests)
    assert "PyYAML" in found.versions
    assert "toyplugin" not in sys.modules


SETTLING = """from toybox.fetching import speed
def settle(config, plan):
    return config
def helper():
    return 1
"""


def settle_elsewhere(toybox: Toybox, imported: str = "settle") -> None:
    """Move the stage's `resolve` to another module, which has its own import."""
    toybox.write("toybox/settling.py", SETTLING)
    toybox.write("toybox/fetching.py", "speed = 1\n")
    toybox.replace("toybox/fit.py", "from . import sibling", f"from . import sibling\nfrom .settling import {imported}")
    toybox.replace("toybox/fit.py", "@stage()", "@stage(resolve=settle)")


@pytest.mark.parametrize(
    ("imported", "counts"),
    [("settle", False), ("settle, helper", True)],
    ids=["for resolve alone", "for something else too"],
)
def test_the_module_of_a_stages_resolve_counts_only_if_it_has_other_uses(
    toybox: Toybox, imported: str, counts: bool
) -> None:
    settle_elsewhere(toybox, imported)
    assert ({"toybox.settling", "toybox.fetching"} <= set(toybox.digests())) is counts


def test_the_module_of_resolve_counts_if_another_module_imports_it(toybox: Toybox) -> None:
    settle_elsewhere(toybox)
    assert "toybox.settling" not in toybox.digests()
    toybox.replace("toybox/cousin.py", "five = 5", "def lately():\n    from toybox.settling import settle\nfive = 5")
    assert "toybox.settling" in toybox.digests()


def test_the_module_of_resolve_counts_if_it_declares_the_config(toybox: Toybox) -> None:
    declared = "from dataclasses import dataclass\n@dataclass\nclass FitConfig:\n    size: int = 1\n"
    toybox.write("toybox/settling.py", f"{declared}def settle(config, plan):\n    return config\n")
    fit = (toybox.root / "toybox/fit.py").read_text()
    start, end = fit.index("@dataclass"), fit.index("@stage()")
    text = fit[:start] + "from toybox.settling import settle, FitConfig\n@stage(resolve=settle)" + fit[end + 8 :]
    toybox.write("toybox/fit.py", text)
    assert "toybox.settling" in toybox.digests()


def test_the_module_of_resolve_counts_if_the_stage_calls_it(toybox: Toybox) -> None:
    settle_elsewhere(toybox)
    toybox.replace("toybox/fit.py", '"size": config.size', '"size": settle(config, False).size')
    assert "toybox.settling" in toybox.digests()


def test_two_stages_in_one_file_have_each_their_own_code(toybox: Toybox) -> None:
    settle_elsewhere(toybox)
    text = (toybox.root / "toybox/fit.py").read_text()
    toybox.write(
        "toybox/fit.py", text + "\n@stage()\ndef other(config: FitConfig, out: Path) -> Facts:\n    return {}\n"
    )
    fit = toybox.stage()
    other = sys.modules["toybox.fit"].other
    reader = CodeReader(toybox.memory)
    assert "toybox.settling" not in reader.read(fit).digests
    assert "toybox.settling" in reader.read(other).digests
