"""Every command in the Markdown files: bash and zsh take it for the same words, and Slimline has what it asks for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from PIL import Image

import slimline
from slimline.pipeline.commands import COMMANDS, RUN, split_command
from slimline.pipeline.composing import compose_config
from slimline.pipeline.config import typed_configs
from slimline.pipeline.config_folders import list_options
from slimline.pipeline.plan import make_plan
from slimline.pipeline.refusals import expand_home
from slimline.pipeline.store import Store
from slimline.pipeline.tasks import order_tasks
from slimline.stages.table import DISPLAY_ONLY, STAGES
from tests.docs.documented_commands import PAGES, ROOT, blocks, documented, unquoted, words
from tests.stages.pages.sweep_making import point, write_sweep

CONF = ROOT / "conf"
OF_A_PLUGIN = "examples/slimline-example/README.md"
"""Its commands need the plug-in, which tests/examples installs and runs."""
FILES = (
    "leaves.csv",
    "model.onnx",
    "model_int8.tflite",
    "hub.parquet",
    "classify_image_graph_def.pb",
    "inception-2015-12-05/classify_image_graph_def.pb",
    "mobilenet_v1_1.0_224_frozen.pb",
)
FOLDERS = ("my_photos", "new_photos", "folder", "more", "scans", "others")
RUNS = [f"runs/flowers/{name}" for name in ("latest", "v001", "v002", "v003")] + ["runs/my_photos/latest"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with everything that the commands name: photos, tables, and runs with an exported model."""
    folder = tmp_path_factory.mktemp("here")
    for number, name in enumerate(f"{kind}/{one}.png" for kind in ("ant", "bee") for one in range(4)):
        for photos in FOLDERS:
            (folder / photos / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (number * 30, 0, 0)).save(folder / photos / name)
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    rows = [f"my_photos/{kind}/{one}.png,{kind},{kind}" for kind in ("ant", "bee") for one in range(4)]
    (folder / "leaves.csv").write_text("\n".join(["path,label,species", *rows]))
    shutil.copy(folder / "more/ant/0.png", folder / "more")
    shutil.copy(folder / "more/ant/0.png", folder / "photo.jpg")
    for run in RUNS:
        for name in ("export/saved_model/saved_model.pb", "evaluate/metrics.json", "ingest/index.parquet"):
            (folder / run / "artifacts" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / run / "artifacts" / name).touch()
    write_sweep(folder / "runs", [point(0, 0.9, {"head": "mlp"})], "s003")
    return folder


def points(typed: list[str], sweep: bool) -> Iterator[list[str]]:
    """Yield the settings of each point of a sweep; of any other command, its settings alone."""
    ways = []
    for argument in typed:
        [setting] = OverridesParser.create().parse_overrides([argument])
        assert sweep or not setting.is_sweep_override(), f"{argument} needs -m"
        ways.append([f"{setting.get_key_element()}={one}" for one in values(setting)] or [argument])
    yield from (list(one) for one in product(*ways))


def values(setting: Override) -> list[str]:
    """Return the values of a sweep, for an interval its ends; none for a setting with one value."""
    if not setting.is_sweep_override():
        return []
    value = setting.value()
    return (
        [str(value.start), str(value.end)]
        if isinstance(value, IntervalSweep)
        else list(setting.sweep_string_iterator())
    )


def plan(arguments: list[str], store: Store) -> None:
    """Compose and plan what a command would run, up to each stage's key or what it would download."""
    typed = get_args_parser().parse_intermixed_args([expand_home(one, str(Path.home())) for one in arguments])
    for overrides in points(typed.overrides, typed.multirun):
        composed = compose_config(overrides, [CONF], STAGES.values())
        run, configs = typed_configs(composed.config, STAGES)
        ordered = order_tasks(STAGES, configs, run.targets)
        assert ordered, "nothing would run"
        steps = make_plan(ordered, configs, store, run.force, plan_only=True)
        assert set(run.targets) <= {step.stage for step in steps}


def check(command: list[str], store: Store) -> bool:
    """Check one command, if it is Slimline's: that it exists, and that what it asks for can be planned."""
    if command[0] == "slimline":
        typed = command[1:]
    elif command[:3] in (["python", "-m", "pipeline"], ["python", "-m", "slimline"]):
        typed = command[3:]
    else:
        return False
    if typed in ([], ["--help"], ["--version"]):
        return True
    name, rest = split_command(typed)
    if name == "copy":
        [option] = [one for one in rest if "/" in one and not one.startswith("~")]
        assert option in {f"{group}/{one}" for group, one, _ in list_options([CONF])}
    elif name == RUN:
        plan(rest, store)
    assert name in COMMANDS
    return True


@pytest.mark.parametrize("text", documented())
def test_no_character_is_left_to_a_shell(text: str) -> None:
    assert list(unquoted(text)) == []


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize("text", documented())
def test_bash_and_zsh_take_it_for_the_same_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "bash").mkdir()
    (tmp_path / "zsh").mkdir()
    found = words("bash", text, tmp_path / "bash")
    assert found
    assert found == words("zsh", text, tmp_path / "zsh")


@pytest.mark.slow
@pytest.mark.parametrize("text", [one for one in documented() if OF_A_PLUGIN not in str(one.id)])
def test_what_it_asks_for_can_be_planned(
    text: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    commands = words("bash", text, tmp_path)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("SLIMLINE_CACHE", str(tmp_path / "cache"))
    store = Store(here / "store", DISPLAY_ONLY)
    checked = [check(command, store) for command in commands]
    assert any(checked) or not ("slimline " in text or "-m pipeline" in text)


def test_commands_are_found_on_all_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {page.name for page in PAGES}
    assert len(blocks(ROOT / "README.md")) >= 7
    assert len(documented()) > 40


@pytest.mark.parametrize(
    "text",
    [
        "slimline classify.images=[a.jpg]",
        "slimline ingest.images=~/photos",
        "slimline +experiment=flowers  # the whole job",
        "slimline classify.images=more/*.png",
        "slimline head=what?",
        "slimline train.schedule=step(0.1)",
        "slimline =flowers",
        'slimline "$HOME"',
        "slimline 'a'[b]",
    ],
)
def test_a_character_that_is_left_to_a_shell_is_found(text: str) -> None:
    assert list(unquoted(text)) != []


@pytest.mark.parametrize("text", ["slimline 'a=[b]' \"c=*\" d\\[e", "slimline -m a=1,2 \\\n  b='#'"])
def test_quoted_characters_are_not(text: str) -> None:
    assert list(unquoted(text)) == []


@pytest.mark.parametrize("text", ["slimline a[b]", "slimline a  # b", "slimline a^b*"])
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_runs_as_in_a_terminal_whose_options_are_strict(text: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        (tmp_path / "bash").mkdir()
        assert words("zsh", text, tmp_path) == words("bash", text, tmp_path / "bash")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("slimline +experiment=flower", Exception),
        ("slimline +experiment=flowers train.epoch=3", Exception),
        ("slimline +experiment=flowers head=linear,mlp", AssertionError),
        ("slimline copy head/nothing", AssertionError),
        ("slimline +experiment=evaluate evaluate.model=nothing", Exception),
    ],
)
def test_a_command_that_does_not_work_is_found(
    command: str, error: type[Exception], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    with pytest.raises(error):
        check(command.split(), Store(here / "store", DISPLAY_ONLY))


def test_the_wheel_has_this_version() -> None:
    assert f"dist/slimline-{slimline.__version__}-py3-none-any.whl" in (ROOT / "README.md").read_text(encoding="utf-8")
