from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

Told = tuple[int, list[str], list[str], bool]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make a folder with two classes, one of which has only one photo."""
    folder = tmp_path / "photos"
    for name in ("daisy/1", "daisy/2", "daisy/3", "daisy/4", "rose/1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jpg").write_bytes(b"")
    return folder


def test_help_shows_commands_and_choices(run: Callable[..., Told], tmp_path: Path) -> None:
    code, output, errors, heavy = run("--help")
    assert (code, errors, heavy) == (0, [], False)
    assert output[0] == "Slimline: photos in, a trained, measured and exported image classifier out."
    there = "bases, classify, compare, crossval, evaluate, flowers, flowers_best, fusions, leaderboard, serve"
    assert f" experiment {there} " in f" {' '.join(' '.join(output).split())} "
    assert max(map(len, output)) <= 110
    assert not list(tmp_path.iterdir())
    assert [line for line in output if "schema" in line] == []  # no choice for a user


def test_the_composed_config_can_be_shown(run: Callable[..., Told], tmp_path: Path) -> None:
    code, output, errors, heavy = run("+experiment=flowers", "--cfg", "job")
    assert (code, errors, heavy) == (0, [], False)
    assert output[:2] == ["run:", "  name: flowers"]
    assert "  network: efficientnet_lite0" in output
    assert not list(tmp_path.iterdir())


def test_a_plan_needs_no_tensorflow(run: Callable[..., Told], tmp_path: Path) -> None:
    code, output, errors, heavy = run("+experiment=flowers", "ingest.origin=drawn", "run.plan=true")
    assert (code, errors, heavy) == (0, [], False)
    assert [line.split()[:2] for line in output[-10:]] == [
        ["ingest", "runs"],
        ["dataset", "runs"],
        ["base", "runs"],
        ["head", "runs"],
        ["features", "runs"],
        ["train", "runs"],
        ["evaluate", "runs"],
        ["export", "runs"],
        ["review", "runs"],
        ["report", "runs"],
    ]
    assert not list(tmp_path.glob("runs/*/v*"))


MISTAKES = {
    "typo": (["+experiment=flowers", "train.epochz=3"], "train.epochz is not a setting of this config."),
    "wrong type": (["+experiment=flowers", "train.epochs=many"], "train.epochs=many has the wrong type."),
    "bad enum": (["+experiment=flowers", "features.precision=half"], "features.precision=half is not allowed."),
    "no such folder": (["+experiment=flowers", "ingest.images=nowhere"], "ingest.images=nowhere does not exist"),
    "no value": (["+experiment=flowers", "ingest=photos"], "ingest.images is required, but has no value."),
    "empty folder": (["+experiment=flowers", "ingest.images=empty"], "/empty holds no photos."),
    "few photos": (["+experiment=flowers", "ingest.images=photos"], "/photos has too few photos of: rose (1)."),
    "path with brackets": (["+experiment=flowers", "ingest.images=IMG(1)"], "ingest.images=IMG(1) does not exist"),
    "no experiment": ([], "No experiment is chosen, so there is nothing to run."),
    "no plus": (
        ["experiment=flowers"],
        "experiment=flowers lacks a plus: an experiment is added to the config.\nWrite +experiment=flowers.",
    ),
    "part that nothing reads": (
        ["+experiment=flowers", "ingest.origin=drawn", "run.plan=true", "+trian.epochs=3"],
        "trian",
    ),
    "second value of a sweep": (
        ["-m", "+experiment=flowers", "ingest.origin=drawn", "run.targets=[ingest]", "train.epochs=1,-2"],
        "train.epochs=-2 is out of range.",
    ),
    "item of a list in a sweep": (
        ["-m", "+experiment=flowers", "ingest.origin=drawn", "head=linear,mlp", "ingest.split.test=10,99"],
        "ingest.split.test=99 is out of range.",
    ),
    "long name": (["+experiment=flowers", "ingest.origin=drawn", "run.name=" + "x" * 300], "is too long"),
    "long folder": (["+experiment=flowers", "ingest.origin=drawn", "run.directory=" + "x" * 300], "cannot be made"),
    "folder that cannot be made": (
        ["+experiment=flowers", "ingest.origin=drawn", "run.directory=/proc/x"],
        "run.directory=/proc/x: the folder cannot be made",
    ),
    "name of a file": (
        ["+experiment=flowers", "ingest.origin=drawn", "run.directory=photos/daisy", "run.name=1.jpg"],
        "/1.jpg is not a folder.",
    ),
    "target of a sweep": (
        ["-m", "+experiment=flowers", "ingest.origin=drawn", "run.plan=true", "run.sweep.target=trian"],
        "trian",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_few_plain_lines_and_leaves_nothing(
    run: Callable[..., Told], photos: Path, tmp_path: Path, mistake: str
) -> None:
    (tmp_path / "empty").mkdir()
    arguments, said = MISTAKES[mistake]
    code, _, errors, heavy = run(*arguments)
    assert code == 2, errors
    assert said in "\n".join(errors)
    assert len(errors) <= 3 and max(map(len, errors)) < 500
    assert not any(noise in line for line in errors for noise in ("Traceback", "hydra.cc", "HYDRA_", "full_key"))
    assert not heavy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos"]


def test_an_error_does_not_begin_with_a_line_of_hydra(run: Callable[..., Told]) -> None:
    _, _, errors, _ = run("+experiment=flowers", "train.epochs=0")
    assert errors == ["train.epochs=0 is out of range.", "It must be from 1 to 100000."]


def test_importing_the_table_of_stages_imports_no_tensorflow(run: Callable[..., Told]) -> None:
    code, output, errors, heavy = run(program=("-c", "from slimline.stages.table import STAGES; print(*STAGES)"))
    assert (code, errors, heavy) == (0, [], False)
    assert output == [
        "ingest dataset base features review head train evaluate export report classify compare leaderboard serve"
        " fusions crossval crossval_report"
    ]


def manifests(folder: Path) -> dict[str, dict[str, object]]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("v*/manifest.json"))}


def table(output: list[str]) -> list[list[str]]:
    """Return the words of each row of a sweep's table."""
    return [line.split() for line in output if re.match(r" +\d  ", line)]


def test_a_sweep_runs_each_point_to_its_target_and_completes_the_best(
    run: Callable[..., Told], toy_program: tuple[str, ...], tmp_path: Path
) -> None:
    code, output, errors, heavy = run("-m", "train.rate=0.25,0.75,0.5", program=toy_program)
    assert (code, errors, heavy) == (0, [], False)
    assert [(row[0], row[1], row[-1]) for row in table(output)] == [
        ("1", "0.7500", "rate=0.75"),
        ("2", "0.5000", "rate=0.5"),
        ("3", "0.2500", "rate=0.25"),
    ]
    assert not any(line.startswith("\t#") for line in output)  # the launcher's own lines
    found = manifests(tmp_path / "runs" / "toy")
    assert list(found) == ["v001"]
    assert list(found["v001"]["stages"]) == ["train", "report"]  # type: ignore[call-overload]
    assert found["v001"]["overrides"] == ["train.rate=0.75"]
    assert found["v001"]["sweep"] == {"of": "s001", "point": 1}
    assert (tmp_path / "runs/toy/sweeps/s001/best").resolve() == (tmp_path / "runs/toy/latest").resolve()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "program.py", "runs", "toybox"]


def test_a_sweep_continues_after_a_failed_point(
    run: Callable[..., Told], toy_program: tuple[str, ...], tmp_path: Path
) -> None:
    code, output, errors, _ = run("-m", "train.rate=0.25,7,0.5", program=toy_program)
    assert [(row[0], row[1]) for row in table(output)] == [("1", "0.5000"), ("2", "0.2500"), ("3", "failed")]
    assert (code, errors[:2]) == (
        2,
        ["1 of 3 points of the sweep failed:", "  point 1: The loss is no longer a number."],
    )
    assert manifests(tmp_path / "runs" / "toy")["v001"]["overrides"] == ["train.rate=0.5"]


def test_a_failed_stage_is_a_traceback_and_code_1(
    run: Callable[..., Told], toy_program: tuple[str, ...], tmp_path: Path
) -> None:
    toys = tmp_path / "toybox" / "__init__.py"
    mistake = 'raise UserError("The loss is no longer a number.", "Lower train.rate.")'
    toys.write_text(toys.read_text(encoding="utf-8").replace(mistake, "raise OSError('x')"), encoding="utf-8")
    code, _, errors, _ = run("train.rate=7", program=toy_program)
    assert code == 1
    assert errors[-1] == "OSError: x"
    assert "Traceback (most recent call last):" in errors


def test_a_mistake_found_while_running_is_plain_and_keeps_the_run(
    run: Callable[..., Told], toy_program: tuple[str, ...], tmp_path: Path
) -> None:
    code, _, errors, _ = run("train.rate=7", program=toy_program)
    assert (code, errors[-2:]) == (2, ["The loss is no longer a number.", "Lower train.rate."])
    assert manifests(tmp_path / "runs" / "toy")["v001"]["error"] == "The loss is no longer a number.\nLower train.rate."


def test_text_files_are_read_in_utf8_whatever_the_locale(
    run: Callable[..., Told], toy_program: tuple[str, ...]
) -> None:
    strict = ("-X", "warn_default_encoding", *toy_program)
    code, _, errors, _ = run("train.rate=0.5", program=strict)
    assert code == 0
    assert [line for line in errors if "EncodingWarning" in line and "/pipeline/" in line] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["+experiment=flowers", "head=linear,mlp"], "head=linear,mlp has several values, which only a sweep can use."),
        (["+experiment=flowers", "hydra.mode=MULTIRUN"], "hydra.mode=MULTIRUN does not start a sweep."),
        (["+experiment=flowers", "hydra.job.chdir=true"], "hydra.job.chdir=true is not supported"),
    ],
)
def test_unsupported_uses_of_hydra_are_rejected(run: Callable[..., Told], arguments: list[str], said: str) -> None:
    code, _, errors, heavy = run(*arguments)
    assert (code, heavy) == (2, False)
    assert errors[0].startswith(said)
    assert len(errors) == 2
