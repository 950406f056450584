"""The wheel, and the one built from the sdist: their content, and that Slimline runs from the wheel alone."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import slimline

pytestmark = pytest.mark.release
ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "conf", "pipeline", "stages", "slimline")
ABOUT = f"slimline-{slimline.__version__}.dist-info"
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
PLAN = ("+experiment=flowers", "run.plan=true", "ingest.origin=drawn")
CODE = """\
import json, sys
from pathlib import Path
from slimline.pipeline.code import CodeReader
from slimline.stages.data.config import IngestConfig, chosen_source
from slimline.stages.data.sources.kinds import SourceKind
from slimline.stages.models.base_config import BaseConfig, chosen_network
from slimline.stages.table import DISPLAY_ONLY, STAGES
source = chosen_source(IngestConfig(images="photos", source=SourceKind.folder))
choices = {**chosen_network(BaseConfig("efficientnet_lite0")), **source}
reader = CodeReader(Path(sys.argv[1]), DISPLAY_ONLY)
print(json.dumps({name: reader.read(stage, choices) for name, stage in STAGES.items() if stage.cache}))
"""


def run(*command: str, path: Path | None = None, cwd: Path) -> str:
    """Run Python in a folder, with only `path` added to the installed packages, and return its output."""
    environment = {**os.environ, "PYTHONPATH": str(path or ""), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the tree, an sdist, and a wheel from the sdist: `wheel/`, `sdist/`, `again/`."""
    import setuptools

    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.fail(f"setuptools {setuptools.__version__} cannot build the wheel: pip install 'setuptools>=77'")
    folder = tmp_path_factory.mktemp("dist")
    tree = folder / "tree"
    tree.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree)
    for made in ("wheel", "sdist", "again"):
        (folder / made).mkdir()
    run("-c", BUILD, "build_sdist", str(folder / "sdist"), cwd=tree)
    shutil.unpack_archive(next((folder / "sdist").iterdir()), folder / "unpacked")
    run("-c", BUILD, "build_wheel", str(folder / "again"), cwd=next((folder / "unpacked").iterdir()))
    run("-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", str(folder / "wheel"), str(tree), cwd=folder)
    return folder


def names_in(folder: Path) -> list[str]:
    [wheel] = folder.iterdir()
    return sorted(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def installed(dist: Path) -> Path:
    """Unpack the wheel, as an installer does, and return the folder."""
    [wheel] = (dist / "wheel").iterdir()
    zipfile.ZipFile(wheel).extractall(dist / "installed")
    return dist / "installed"


@pytest.fixture(scope="module")
def elsewhere(dist: Path) -> Path:
    (dist / "elsewhere").mkdir()
    return dist / "elsewhere"


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    return Parser().parsestr((installed / ABOUT / "METADATA").read_text(encoding="utf-8"))


def test_the_wheel_holds_every_file_of_the_three_folders_under_one_name(dist: Path) -> None:
    names = names_in(dist / "wheel")
    assert {name.partition("/")[0] for name in names} == {"slimline", ABOUT}
    kept = [
        path.relative_to(ROOT).as_posix()
        for folder in ("conf", "pipeline", "stages")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    assert len(kept) > 300
    own = ["__init__.py", "__main__.py", "py.typed"]
    assert {f"slimline/{name}" for name in (*kept, *own)} <= set(names)
    for name in ("conf/config.yaml", "stages/imagenet/synsets.tsv", "stages/training/fonts/DejaVuSans.ttf"):
        assert f"slimline/{name}" in names


def test_the_wheel_built_from_the_sdist_is_the_same(dist: Path) -> None:
    assert names_in(dist / "again") == names_in(dist / "wheel")


def test_the_wheel_states_its_version_license_and_authors(metadata: Message, installed: Path) -> None:
    assert metadata["Version"] == slimline.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "Slimline contributors"
    files = metadata.get_all("License-File", [])
    texts = [(installed / ABOUT / "licenses" / name).read_text(encoding="utf-8") for name in files]
    for text, inside in zip(texts, ("Apache License", "WordNet Release 3.0", "Bitstream Vera"), strict=True):
        assert inside in text
    classifiers = metadata.get_all("Classifier", [])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)


def test_the_wheel_installs_the_command(installed: Path) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read(installed / ABOUT / "entry_points.txt")
    assert dict(entry_points["console_scripts"]) == {"slimline": "slimline.pipeline.cli:main"}


def test_help_lists_the_configs_of_the_wheel(installed: Path, elsewhere: Path) -> None:
    output = run("-m", "slimline", "--help", path=installed, cwd=elsewhere)
    assert output == run("-m", "slimline", "--help", path=ROOT, cwd=elsewhere)
    assert "efficientnet_lite0" in output


@pytest.mark.parametrize("name", ["pipeline", "stages", "conf"])
def test_the_wheel_adds_no_other_name(installed: Path, elsewhere: Path, name: str) -> None:
    code = f"import sys, importlib.util as u; sys.exit(u.find_spec({name!r}) is not None)"
    run("-c", code, path=installed, cwd=elsewhere)


def test_a_plan_has_the_keys_of_the_checkout(installed: Path, elsewhere: Path) -> None:
    plan = run("-m", "slimline", *PLAN, path=installed, cwd=elsewhere)
    assert plan == run("-m", "slimline", *PLAN, path=ROOT, cwd=elsewhere)
    keys = {line.split()[0]: line.split()[2] for line in plan.splitlines()[-10:]}
    assert all(re.fullmatch("[0-9a-f]{12}", keys[name]) for name in ("ingest", "base"))


def test_the_code_of_every_stage_counts_as_in_the_checkout(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    found = json.loads(run("-c", CODE, str(tmp_path / "a.json"), path=installed, cwd=elsewhere))
    assert found == json.loads(run("-c", CODE, str(tmp_path / "b.json"), path=ROOT, cwd=elsewhere))
    assert {"ingest", "base", "train", "export"} <= set(found)


def test_a_run_of_the_wheel_records_a_version_and_no_commit(installed: Path, elsewhere: Path) -> None:
    code = "import json; from slimline.pipeline.environment import describe_environment as d; print(json.dumps(d()))"
    found = json.loads(run("-c", code, path=installed, cwd=elsewhere))
    assert (found["slimline"], found["git"]) == (slimline.__version__, None)
