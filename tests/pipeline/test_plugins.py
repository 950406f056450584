"""Plug-ins: found without an import, rejected with a short message, counted in the keys of stages that use them."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from slimline.pipeline import plugins
from slimline.pipeline.code import Code, CodeReader
from slimline.pipeline.errors import UserError
from slimline.pipeline.plugins import Stages, installed_plugins, plugin_config_folders
from slimline.pipeline.settings import config_keys
from slimline.pipeline.stage import Stage
from slimline.pipeline.table import Table
from tests.pipeline.conftest import STAGES
from tests.pipeline.plugin_making import install

ROOT = Path(__file__).parents[2]
POLISH = """
    from dataclasses import dataclass
    from pathlib import Path
    from slimline.pipeline.artifact import Artifact, Facts
    from slimline.pipeline.stage import stage

    @dataclass
    class ShineConfig:
        strokes: int = 3

    @stage()
    def shine(config: ShineConfig, out: Path, *, gather: Artifact) -> Facts:
        from plugbox.cloth import CLOTH

        return {"strokes": config.strokes, "cloth": CLOTH}
    """
FILES = {
    "plugbox/__init__.py": "",
    "plugbox/shine.py": POLISH,
    "plugbox/cloth.py": "import numpy\nCLOTH = 'felt'\n",
    "plugbox/shapes.py": "import plugbox.cloth\nSQUARE = 4\n",
    "plugbox/conf/shine/default.yaml": "defaults:\n  - schema\n",
}
GROUPS = {"slimline.stages": {"shine": "plugbox.shine:shine"}, "slimline.shapes": {"square": "plugbox.shapes:SQUARE"}}


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_code: Callable[..., None]
) -> Iterator[Callable[..., Path]]:
    """Return a function that installs a distribution (by default `plug-box` 1.0) where only the test finds it."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(plugins, "GROUPS", (*plugins.GROUPS, "slimline.shapes"))

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("plugbox")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        installed_plugins.cache_clear()
        forget_code(installed=True)

    def add(name: str = "plug-box", groups: dict[str, dict[str, str]] = GROUPS, **more: object) -> Path:
        made = install(tmp_path / "site", name, groups, **{"files": FILES, **more})  # type: ignore[arg-type]
        forget()
        return made

    forget()
    yield add
    forget()


def refusal(wanted: Callable[[], object]) -> list[str]:
    with pytest.raises(UserError) as refused:
        wanted()
    lines = str(refused.value).splitlines()
    assert len(lines) <= 3
    return lines


def test_without_plugins_no_distribution_is_read(
    site: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site("plug-box", {"console_scripts": {"plug": "plugbox.shine:main"}})
    monkeypatch.setattr(importlib.metadata.Distribution, "at", None)
    assert installed_plugins() == () and plugin_config_folders() == []
    assert list(Stages(STAGES)) == list(STAGES)


def test_a_plugin_is_found_with_its_configs_and_not_imported(site: Callable[..., Path], tmp_path: Path) -> None:
    site()
    found = [(one.group, one.name, one.reference, one.distribution, one.version) for one in installed_plugins()]
    assert found == [
        ("slimline.shapes", "square", "plugbox.shapes:SQUARE", "plug-box", "1.0"),
        ("slimline.stages", "shine", "plugbox.shine:shine", "plug-box", "1.0"),
    ]
    assert plugin_config_folders() == [tmp_path / "site/plugbox/conf"]
    shapes: Table[str, int] = Table({"line": "math:tau"}, group="slimline.shapes", kind=int)
    assert list(shapes) == ["line", "square"] and "square" in shapes
    assert not [name for name in sys.modules if name.startswith("plugbox")]
    assert shapes["square"] == 4
    assert "plugbox.shapes" in sys.modules and "plugbox.shine" not in sys.modules


def test_of_a_distribution_that_is_installed_twice_the_first_counts(
    site: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site()
    monkeypatch.syspath_prepend(str(tmp_path / "newer"))
    install(tmp_path / "newer", "plug-box", GROUPS, FILES, version="2.0")
    installed_plugins.cache_clear()
    assert {one.version for one in installed_plugins()} == {"2.0"}
    assert plugin_config_folders() == [tmp_path / "newer/plugbox/conf"]


def test_a_stage_of_a_plugin_is_one_of_the_stages_and_its_settings_are_known(site: Callable[..., Path]) -> None:
    site()
    stages = Stages(STAGES)
    assert "plugbox.shine" not in sys.modules
    assert list(stages) == [*STAGES, "shine"]
    assert stages["shine"].inputs == ("gather",) and stages["fit"] is STAGES["fit"]
    assert "shine.strokes" in config_keys(stages.values()).names


CLASHES = {
    "ours": (Stages(STAGES), {"slimline.stages": {"fit": "plugbox.shine:shine"}}),
    "a part of the config": (Stages(STAGES), {"slimline.stages": {"run": "plugbox.shine:shine"}}),
    "an entry of a table": (
        Table({"square": "math:pi"}, group="slimline.shapes"),
        {"slimline.shapes": {"square": "plugbox.shapes:SQUARE"}},
    ),
}


@pytest.mark.parametrize("case", CLASHES)
def test_a_name_that_slimline_uses_is_rejected(site: Callable[..., Path], case: str) -> None:
    looked_at, groups = CLASHES[case]
    site(groups=groups)
    [(group, entries)] = groups.items()
    assert refusal(lambda: list(looked_at)) == [
        f"{next(iter(entries))!r} is declared twice in the group {group}:"
        " by the plug-in plug-box 1.0 and by Slimline itself.",
        "Remove the plug-in (pip uninstall plug-box), or rename its entry point.",
    ]


def test_a_name_that_two_plugins_declare_is_an_error_that_names_both(site: Callable[..., Path]) -> None:
    site()
    site(
        "other-box", {"slimline.shapes": {"square": "otherbox:SQUARE"}}, files={"otherbox/__init__.py": ""}, version="3"
    )
    said = refusal(installed_plugins)
    assert "plug-box 1.0" in said[0] and "other-box 3" in said[0] and "'square'" in said[0]
    assert said[1].startswith("Remove the plug-in (pip uninstall ")


BROKEN = {
    "no such module": ("plugbox.missing:shine", "cannot be loaded: ModuleNotFoundError: No module named"),
    "no such name": ("plugbox.shine:glow", "cannot be loaded: AttributeError: module 'plugbox.shine' has no"),
    "it fails": ("plugbox.broken:shine", "cannot be loaded: ZeroDivisionError: division by zero."),
    "not a stage": ("plugbox.shine:ShineConfig", "is not a stage: it lacks the decorator @stage()."),
    "another name": ("plugbox.shine:shine", "is a stage whose name is 'shine': both must be the same."),
    "no reference": ("plugbox.shine", "is not of the form module:attribute."),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_invalid_stage_is_rejected_and_its_distribution_named(site: Callable[..., Path], case: str) -> None:
    reference, why = BROKEN[case]
    site(groups={"slimline.stages": {"gloss": reference}}, files={**FILES, "plugbox/broken.py": "1 / 0\n"})
    said = refusal(lambda: list(Stages(STAGES)))
    assert said[0].startswith(f"'gloss' ({reference}) of the plug-in plug-box 1.0 ") and why in said[0]
    assert said[1] == (
        "Fix the entry point 'gloss' of the group slimline.stages, or remove the plug-in: pip uninstall plug-box"
    )


def test_an_entry_of_another_type_is_refused(site: Callable[..., Path]) -> None:
    site()
    shapes: Table[str, str] = Table({}, group="slimline.shapes", kind=str)
    assert "is a int, but must be a str." in refusal(lambda: shapes["square"])[0]


def test_a_plugins_stage_counts_its_modules_and_its_distributions_version(
    site: Callable[..., Path], tmp_path: Path
) -> None:
    about = site()
    reader = CodeReader(tmp_path / "memory.json")
    found = reader.read(Stages(STAGES)["shine"])
    assert list(found.digests) == ["plugbox", "plugbox.cloth", "plugbox.shine"]
    assert found.versions["plug-box"] == "1.0" and "numpy" in found.versions and "slimline" not in found.versions
    (about / "top_level.txt").unlink()  # an editable install may lack the list of its packages
    assert CodeReader(tmp_path / "memory.json").read(Stages(STAGES)["shine"]) == found


TABLE = """
    from slimline.pipeline.table import Table

    SHAPES = Table({"line": "toyshop.line:LINE"}, group="slimline.shapes", kind=int)
    """
CUT = """
    from dataclasses import dataclass
    from pathlib import Path
    from slimline.pipeline.artifact import Facts
    from slimline.pipeline.stage import stage
    from toyshop.table import SHAPES

    @dataclass
    class CutConfig:
        shape: str = "line"

    @stage(choices=lambda config: {"toyshop.table": [SHAPES.references[config.shape]]})
    def cut(config: CutConfig, out: Path) -> Facts:
        return {"shape": SHAPES[config.shape]}
    """
SHOP = {
    "toyshop/__init__.py": "",
    "toyshop/line.py": "LINE = 1\n",
    "toyshop/table.py": TABLE,
    "toyshop/cut.py": CUT,
}


@pytest.fixture
def code_of(site: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[[str], Code]]:
    """Return a function that reads the code of a stage that chooses this shape from a table."""
    install(tmp_path / "site", "toy-shop", {}, SHOP)

    def read(shape: str) -> Code:
        for name in [name for name in sys.modules if name.startswith("toyshop")]:
            del sys.modules[name]
        stage = importlib.import_module("toyshop.cut").cut
        assert isinstance(stage, Stage) and stage.choices
        return CodeReader(tmp_path / "memory.json").read(stage, stage.choices(SimpleNamespace(shape=shape)))

    yield read
    for name in [name for name in sys.modules if name.startswith("toyshop")]:
        del sys.modules[name]


def test_installing_a_plugin_changes_only_the_keys_of_stages_that_choose_it(
    site: Callable[..., Path], code_of: Callable[[str], Code], tmp_path: Path
) -> None:
    site("nothing", {}, files={})
    before = code_of("line")
    assert sorted(before.digests) == ["toyshop", "toyshop.cut", "toyshop.line", "toyshop.table"]
    assert before.digests["toyshop.table"] == "38dc21ee6f89aadbfd3ec6346483648236cf6c9baff403ba3bad1e42cbf9b027"
    assert before.versions == {"toy-shop": "1.0"}
    site()
    assert code_of("line") == before
    chosen = code_of("square")
    assert {name for name in chosen.digests if chosen.digests[name] != before.digests.get(name)} == {
        "plugbox",
        "plugbox.cloth",
        "plugbox.shapes",
        "toyshop.table",
    }
    assert "toyshop.line" not in chosen.digests
    assert chosen.versions == {"numpy": importlib.metadata.version("numpy"), "plug-box": "1.0", "toy-shop": "1.0"}


def test_editing_a_chosen_plugin_changes_the_key(
    site: Callable[..., Path], code_of: Callable[[str], Code], tmp_path: Path
) -> None:
    site()
    before = code_of("square")
    (tmp_path / "site/plugbox/cloth.py").write_text("import numpy\nCLOTH = 'silk'\n", encoding="utf-8")
    importlib.invalidate_caches()
    after = code_of("square")
    assert [name for name in after.digests if after.digests[name] != before.digests[name]] == ["plugbox.cloth"]


# On the command line, with Slimline's own stages and configs.


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Return a function that runs `python -m pipeline` with the plug-ins that are installed in the folder `site`."""

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        path = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    return run


GLOSS = """
    from dataclasses import dataclass
    from pathlib import Path
    from slimline.pipeline.artifact import Artifact, Facts
    from slimline.pipeline.stage import stage

    @dataclass
    class GlossConfig:
        strokes: int = 3

    @stage()
    def gloss(config: GlossConfig, out: Path, *, ingest: Artifact) -> Facts:
        (out / "gloss.txt").write_text("bright", encoding="utf-8")
        return {"strokes": config.strokes}
    """
GLOSS_FILES = {
    "glossbox/__init__.py": "",
    "glossbox/gloss.py": GLOSS,
    "glossbox/conf/gloss/default.yaml": "defaults:\n  - schema\n\nstrokes: 4  # up and down\n",
    "glossbox/conf/experiment/glossy.yaml": (
        "# @package _global_\ndefaults:\n  - /gloss: default\n  - override /ingest: flowers\n\n"
        "run:\n  name: glossy\n  targets: [gloss]\n"
    ),
}
SMALL = ("ingest.origin=drawn", "ingest.drawn_per_class=14")


def test_a_plugins_stage_is_added_by_an_experiment_or_by_its_group(
    command: Callable[..., tuple[int, list[str], list[str]]], tmp_path: Path
) -> None:
    install(tmp_path / "site", "gloss-box", {"slimline.stages": {"gloss": "glossbox.gloss:gloss"}}, GLOSS_FILES)
    code, output, errors = command("+experiment=glossy", *SMALL, "run.plan=true")
    assert (code, [line.split()[:2] for line in output[-3:]]) == (
        0,
        [["ingest", "runs"], ["dataset", "runs"], ["gloss", "runs"]],
    ), errors
    code, output, errors = command("+experiment=flowers", "+gloss=default", "run.targets=[gloss]", "--cfg", "job")
    assert (code, output[output.index("gloss:") + 1]) == (0, "  strokes: 4"), errors
    code, output, errors = command("+experiment=flowers", "--cfg", "job")
    assert (code, "gloss:" in output) == (0, False), errors


def test_a_typo_in_a_plugins_settings_suggests_the_nearest_name(
    command: Callable[..., tuple[int, list[str], list[str]]], tmp_path: Path
) -> None:
    install(tmp_path / "site", "gloss-box", {"slimline.stages": {"gloss": "glossbox.gloss:gloss"}}, GLOSS_FILES)
    code, _, errors = command("+experiment=glossy", "gloss.stroks=5")
    assert (code, errors) == (
        2,
        ["gloss.stroks is not a setting of this config. Did you mean gloss.strokes?", "gloss has: strokes."],
    )
    code, _, errors = command("+experiment=glossy", "gloss.strokes=many")
    assert (code, errors) == (2, ["gloss.strokes=many has the wrong type.", "It must be a whole number."])


def test_a_broken_plugin_is_a_few_lines_and_exit_code_2(
    command: Callable[..., tuple[int, list[str], list[str]]], tmp_path: Path
) -> None:
    install(tmp_path / "site", "gloss-box", {"slimline.stages": {"gloss": "glossbox.gloss:matt"}}, GLOSS_FILES)
    code, output, errors = command("+experiment=flowers", "--cfg", "job")
    assert (code, output, len(errors)) == (2, [], 2)
    assert errors[0].startswith(
        "'gloss' (glossbox.gloss:matt) of the plug-in gloss-box 1.0 cannot be loaded: Attribute"
    )
