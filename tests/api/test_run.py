"""`slimline.run` on toy stages: its configs, its errors, and that it does not change the state of the process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import slimline
from slimline import api
from slimline.pipeline.stage import stage
from tests.pipeline.conftest import GatherConfig, Toys, toys  # noqa: F401
from tests.pipeline.test_composing import FILES, write_folder

ROOT = Path(__file__).parents[2]
TOY = {
    **FILES,
    "config.yaml": "defaults:\n  - run: default\n  - gather: null\n  - polish: null\n  - fit: null\n  - tell: null\n"
    "  - _self_\n",
    "fit/plain.yaml": "defaults: [schema, _self_]\n",
    "tell/tale.yaml": "defaults: [schema, _self_]\n",
    "experiment/toy.yaml": "# @package _global_\n"
    "defaults: [override /gather: few, override /fit: plain, override /tell: tale]\n"
    "run: {name: toy, targets: [tell]}\n",
}


@pytest.fixture(autouse=True)
def garden(toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:  # noqa: F811
    """Make `slimline.run` use the toys, with their configs in `shipped`, in a temporary folder."""
    monkeypatch.setattr(api, "STAGES", toys.stages)
    monkeypatch.setattr(api, "CONF", write_folder(tmp_path / "shipped", TOY))
    monkeypatch.chdir(tmp_path)
    return toys


def test_a_run_is_made_as_on_the_command_line(tmp_path: Path) -> None:
    run = slimline.run("toy", "gather.size=2")
    assert isinstance(run, slimline.Run)
    assert run.path == tmp_path / "runs/toy/v001"
    assert run.facts["fit"]["score"] == 0.5
    assert run.config.gather.size == 2
    assert run.manifest["overrides"] == ["+experiment=toy", "gather.size=2"]
    assert [entry["cached"] for entry in run.manifest["stages"].values()] == [False, False, False]


def test_the_second_run_reuses_outputs_of_the_first(garden: Toys, tmp_path: Path) -> None:
    slimline.run("toy")
    garden.calls.clear()
    second = slimline.run("toy")
    assert second.path == tmp_path / "runs/toy/v002"
    assert garden.calls == ["tell"]


def test_an_experiment_can_be_left_out() -> None:
    run = slimline.run(None, "gather=many", "run.targets=[gather]")
    assert run.facts == {"gather": {"count": 30, "reading_seconds": 0.25}}
    assert run.manifest["overrides"] == ["gather=many", "run.targets=[gather]"]


def test_the_users_config_folder_is_searched_first(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine", {"gather/few.yaml": "defaults: [schema, _self_]\nsize: 6\n"})
    assert slimline.run("toy", config_dir="mine").config.gather.size == 6
    assert slimline.run("toy", config_dir=tmp_path / "mine").config.gather.size == 6
    assert slimline.run("toy").config.gather.size == 3


def test_a_folder_conf_is_searched_and_replaced_files_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path / "conf", {"experiment/toy.yaml": TOY["experiment/toy.yaml"].replace("few", "many")})
    with caplog.at_level("INFO", logger="slimline"):
        assert slimline.run("toy").config.gather.size == 30
        assert slimline.run("toy").config.gather.size == 30
    said = [record.getMessage() for record in caplog.records]
    assert said.count("using conf/experiment/toy.yaml instead of the shipped one") == 2


def test_home_is_expanded_as_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert slimline.run("toy", "gather.images=~/").config.gather.images == f"{tmp_path}/home/"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("toy", "gather.sise=4"), r"Did you mean gather\.size"),
        (("toy", "gather=fwe"), "Did you mean few"),
        (("toys",), "The choices are: toy"),
        (("toy", "gather.size=many"), "It must be a whole number"),
        (("gather.size=4",), r'slimline\.run\("flowers", "gather\.size=4"\)'),
        (("my experiment",), "'my experiment' is not a valid name of an experiment"),
        ((None,), r'slimline\.run\("flowers"\)\. The experiments are: toy\.'),
        (("toy", "-m"), "-m is a command-line option"),
        (("toy", "--config-dir=mine"), "--config-dir=mine is a command-line option"),
        (("toy", "gather.size=1,2"), "gather.size=1,2 has several values"),
        (("toy", "gather.size=range(3)"), "has several values"),
        (("toy", "run.plan=true"), "no run to return"),
        (("toy", "fit"), "fit has no value"),
        (("toy", 3), "3 is not a setting: each is a text of its own"),
        (("toy", ["gather.size=4"]), "is not a setting: each is a text of its own"),
        (("toy", None), "None is not a setting"),
        (("toy", "fit.optimizer=[1"), r"cannot be read"),
        (("toy", "gather.size=???"), r"gather\.size is required, but has no value"),
    ],
)
def test_a_mistake_is_a_user_error_and_nothing_runs(arguments: tuple[Any, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(slimline.UserError, match=said):
        slimline.run(*arguments)
    assert not list(tmp_path.glob("runs/*/v*"))


def test_a_missing_config_folder_is_named() -> None:
    with pytest.raises(slimline.UserError, match="config_dir='nowhere' is not a folder"):
        slimline.run("toy", config_dir="nowhere")


def add_stage(garden: Toys, work: Any) -> None:
    """Replace `gather` by a stage that first calls `work`."""

    @stage()
    def gather(config: GatherConfig, out: Path) -> dict[str, Any]:
        work()
        (out / "numbers.txt").write_text("0\n")
        return {"count": 1}

    garden.stages["gather"] = gather


@pytest.mark.parametrize("error", [ZeroDivisionError("of the stage's own"), KeyboardInterrupt(), ValueError("bare")])
def test_exceptions_of_a_stage_are_raised(garden: Toys, error: BaseException, tmp_path: Path) -> None:
    def fail() -> None:
        raise error

    add_stage(garden, fail)
    with pytest.raises(type(error)) as raised:
        slimline.run("toy")
    assert raised.value is error
    assert slimline.load(tmp_path / "runs/toy/v001").manifest["status"] == "failed"


def test_a_run_does_not_change_handlers_signals_folder_or_environment() -> None:
    def state() -> tuple[Any, ...]:
        loggers = [logging.getLogger(name) for name in (None, "slimline", "hydra")]
        return (
            [(list(one.handlers), one.level, one.propagate, one.disabled) for one in loggers],
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
            Path.cwd(),
            dict(os.environ),
            list(sys.argv),
        )

    before = state()
    slimline.run("toy")
    with pytest.raises(slimline.UserError):
        slimline.run("toys")
    assert state() == before


def test_a_run_logs_to_the_logger_slimline(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="slimline"):
        slimline.run("toy")
    assert any(record.getMessage().startswith("gather    ran") for record in caplog.records)


def test_a_run_can_be_started_from_another_thread(tmp_path: Path) -> None:
    made: list[slimline.Run] = []
    thread = threading.Thread(target=lambda: made.append(slimline.run("toy")))
    thread.start()
    thread.join()
    assert [run.path for run in made] == [tmp_path / "runs/toy/v001"]


def test_two_threads_take_turns(garden: Toys) -> None:
    under_way: list[int] = []
    most: list[int] = []

    def work() -> None:
        under_way.append(1)
        time.sleep(0.3)
        most.append(len(under_way))
        under_way.pop()

    add_stage(garden, work)
    sizes = range(3)
    threads = [threading.Thread(target=slimline.run, args=("toy", f"gather.size={size}")) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_a_stage_can_call_slimline_run(garden: Toys) -> None:
    gather = garden.stages["gather"]

    def work() -> None:
        garden.stages["gather"] = gather
        slimline.run("toy", "gather=many", "run.name=inner")

    add_stage(garden, work)
    assert slimline.run("toy").facts["gather"]["count"] == 1


def test_importing_slimline_imports_nothing_else() -> None:
    program = (
        "import sys, slimline; before = set(sys.modules);"
        "assert not {'hydra', 'omegaconf', 'pyarrow', 'tensorflow', 'slimline.api'} & before, before;"
        "assert set(slimline.__all__) <= set(dir(slimline));"
        "slimline.run, slimline.load, slimline.Run, slimline.UserError, slimline.__version__;"
        "assert not {'tensorflow', 'pandas'} & set(sys.modules)"
    )
    environment = {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nope"):
        slimline.nope  # noqa: B018


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": ', "\x00"])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(slimline.UserError, match=r"manifest\.json is damaged"):
        slimline.load(tmp_path)
