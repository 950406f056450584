"""The user's own config folder: searched first, replaced files are logged, mistakes in it are explained."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from slimline.pipeline.config_folders import find_config_folders
from slimline.pipeline.errors import UserError

Told = tuple[int, list[str], list[str], bool]
Run = Callable[..., Told]
Configs = Callable[..., Path]
ROOT = Path(__file__).parents[2]

OWN_TOY = (
    "# @package _global_\ndefaults:\n  - override /train: fast\n  - override /report: text\n\n"
    "run:\n  name: mine\n  targets: [report]\n"
)


def rates(folder: Path) -> list[float]:
    manifests = [json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/v*/manifest.json"))]
    return [manifest["stages"]["train"]["facts"]["validation_top1"] for manifest in manifests]


def test_without_an_own_folder_the_shipped_files_are_used(
    run: Run, installed_program: tuple[str, ...], tmp_path: Path
) -> None:
    code, output, errors, _ = run("+experiment=toy", program=installed_program)
    assert (code, errors) == (0, [])
    assert rates(tmp_path) == [0.25]
    assert not [line for line in output if "instead" in line]


@pytest.mark.parametrize("where", ["conf", "--config-dir", "--config-dir=", "-cd"])
def test_an_own_file_is_used_before_the_shipped_one_and_is_named(
    run: Run, installed_program: tuple[str, ...], configs: Configs, tmp_path: Path, where: str
) -> None:
    folder = "conf" if where == "conf" else "mine"
    configs({"experiment/toy": OWN_TOY}, folder)
    flag = [] if where == "conf" else [where + folder] if where.endswith("=") else [where, folder]
    code, output, errors, _ = run("+experiment=toy", *flag, program=installed_program)
    assert (code, errors) == (0, [])
    assert output[0] == f"using {folder}/experiment/toy.yaml instead of the shipped one"
    assert len([line for line in output if "instead" in line]) == 1
    assert (tmp_path / "runs" / "mine" / "v001").is_dir()
    assert rates(tmp_path) == [0.75]


def test_the_search_path_can_be_shown(run: Run, installed_program: tuple[str, ...], configs: Configs) -> None:
    configs({"train/mine": ""}, "mine")
    configs({"train/added": ""}, "plugged")
    typed = ("+experiment=toy", "--config-dir", "mine", "--info", "searchpath")
    code, output, errors, _ = run(*typed, program=installed_program)
    assert (code, errors) == (0, [])
    folders = [Path(line.split("|")[2].strip()).name for line in output if "://" in line]
    assert folders[:4] == ["hydra.conf", "mine", "plugged", "shipped"]
    assert not [line for line in output if line.count("Config search path") > 1]


def test_only_files_that_a_config_uses_are_logged(
    run: Run, installed_program: tuple[str, ...], configs: Configs
) -> None:
    configs({"train/fast": "defaults:\n  - schema\n\nrate: 0.5\n", "train/mine": "defaults:\n  - fast\n"})
    _, output, _, _ = run("+experiment=toy", program=installed_program)
    assert not [line for line in output if "instead" in line]
    _, output, _, _ = run("+experiment=toy", "train=mine", program=installed_program)
    assert [line for line in output if "conf/" in line] == ["using conf/train/fast.yaml instead of the shipped one"]


def test_a_setting_may_follow_a_flag(
    run: Run, installed_program: tuple[str, ...], configs: Configs, tmp_path: Path
) -> None:
    configs({"train/mine": "defaults:\n  - schema\n\nrate: 0.125\n"}, "mine")
    typed = ("+experiment=toy", "--config-dir", "mine", "train=mine", "train.note=x")
    code, _, errors, _ = run(*typed, program=installed_program)
    assert (code, errors, rates(tmp_path)) == (0, [], [0.125])


def test_the_composed_config_is_shown_without_a_message_in_it(
    run: Run, installed_program: tuple[str, ...], configs: Configs
) -> None:
    configs({"experiment/toy": OWN_TOY})
    code, output, errors, _ = run("+experiment=toy", "--cfg", "job", program=installed_program)
    assert (code, output[:2]) == (0, ["run:", "  name: mine"])
    assert errors == ["using conf/experiment/toy.yaml instead of the shipped one"]


@pytest.mark.parametrize("flag", [["--config-dir", "mine"], []])
def test_a_sweep_ends_with_the_own_files(
    run: Run, installed_program: tuple[str, ...], configs: Configs, tmp_path: Path, flag: list[str]
) -> None:
    files = {"experiment/toy": OWN_TOY, "train/mine": "defaults:\n  - schema\n\nrate: 0.875\n"}
    configs(files, "mine" if flag else "conf")
    code, output, errors, _ = run(*flag, "-m", "+experiment=toy", "train=slow,mine", program=installed_program)
    assert (code, errors) == (0, [])
    assert "completing point 1: train=mine" in output
    assert len([line for line in output if "instead" in line]) == 1
    winner = json.loads((tmp_path / "runs" / "mine" / "v001" / "manifest.json").read_text())
    assert (list(winner["stages"]), winner["status"]) == (["train", "report"], "completed")
    board = pq.read_table(tmp_path / "runs" / "mine" / "sweeps" / "s001" / "leaderboard.parquet")
    code, _, errors, _ = run(*shlex.split(board["command"][0].as_py())[1:], program=installed_program)
    assert (code, errors) == (0, [])
    assert rates(tmp_path) == [0.875, 0.875]


def test_a_sweep_ends_with_hydras_own_search_path(
    run: Run, installed_program: tuple[str, ...], configs: Configs, tmp_path: Path
) -> None:
    where = configs({"train/mine": "defaults:\n  - schema\n\nrate: 0.875\n"}, "mine")
    typed = ("-m", "+experiment=toy", f"hydra.searchpath=[file://{where}]", "train=slow,mine")
    code, _, errors, _ = run(*typed, program=installed_program)
    assert (code, errors, rates(tmp_path)) == (0, [], [0.875])


def test_plug_ins_come_between_the_own_and_the_shipped(
    run: Run, installed_program: tuple[str, ...], configs: Configs, tmp_path: Path
) -> None:
    named = "defaults:\n  - schema\n\nrate: {}\n"
    configs({"train/slow": named.format(0.5), "train/fast": named.format(0.625)}, "plugged")
    configs({"train/fast": named.format(1)})
    _, output, _, _ = run("+experiment=toy", program=installed_program)
    assert output[0] == "using plugged/train/slow.yaml instead of the shipped one"
    run("+experiment=toy", "train=fast", program=installed_program)
    assert rates(tmp_path) == [0.5, 1.0]


def test_an_own_root_is_never_used(run: Run, installed_program: tuple[str, ...], configs: Configs) -> None:
    configs({"config": "run: {name: another program's}\n", "train/mine": "defaults:\n  - schema\n"})
    code, _, errors, _ = run("+experiment=toy", "train=mine", program=installed_program)
    assert (code, errors) == (0, [])


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({"train/mine": ""}, True),
        ({"train/optimizer/mine": ""}, True),
        ({"plugged/mine": ""}, True),
        ({"model/mine": "", "config": ""}, False),
        ({}, False),
    ],
)
def test_a_folder_named_conf_is_the_users_if_it_contains_a_group(
    tmp_path: Path, configs: Configs, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], taken: bool
) -> None:
    shipped = configs({"config": "", "train/slow": ""}, "shipped")
    plugged = configs({"plugged/one": ""}, "plug-in")
    (tmp_path / "conf" / "train").mkdir(parents=True)  # a group without any file
    configs(files)
    monkeypatch.chdir(tmp_path)
    found = find_config_folders(None, [plugged], shipped)
    assert found.all == [*([tmp_path / "conf"] if taken else []), plugged, shipped]


def test_the_checkouts_own_conf_is_the_shipped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert find_config_folders(None, [], ROOT / "slimline" / "conf").own is None


def test_a_missing_config_dir_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        find_config_folders("nowhere", [], ROOT / "conf")
    first, second = str(caught.value).splitlines()
    assert first == f"--config-dir nowhere is not a folder (looked for {tmp_path / 'nowhere'})."
    assert "experiment/mine.yaml" in second


BROKEN: dict[str, tuple[str, str | bytes, str]] = {
    "no schema": (
        "train/mine",
        "rate: 0.5\n",
        "conf/train/mine.yaml does not include the schema of train.",
    ),
    "a tab": ("train/mine", "defaults:\n\t- schema\n", "conf/train/mine.yaml, line 2: not valid YAML"),
    "bad indentation": (
        "train/mine",
        "defaults:\n  - schema\nrate: 0.5\n  note: x\n",
        "conf/train/mine.yaml, line 4: not valid YAML",
    ),
    "duplicate key": (
        "train/mine",
        "defaults:\n  - schema\nrate: 0.5\nrate: 1\n",
        "conf/train/mine.yaml, line 4: not valid YAML (found duplicate key rate).",
    ),
    "a list": ("train/mine", "- schema\n", "conf/train/mine.yaml contains a list, not settings."),
    "a text": ("train/mine", "schema\n", "conf/train/mine.yaml contains a single value, not settings."),
    "defaults are a mapping": (
        "train/mine",
        "defaults:\n  schema: null\n",
        "conf/train/mine.yaml: defaults must be a list of choices.",
    ),
    "an option is a number": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - override /train: 3\n",
        "conf/experiment/mine.yaml: defaults must be a list of choices.",
    ),
    "header": (
        "experiment/mine",
        "# @package _global_ as ever\n",
        "conf/experiment/mine.yaml: Too many components in",
    ),
    "includes itself": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - mine\n",
        "conf/experiment/mine.yaml includes itself: experiment/mine -> experiment/mine.",
    ),
    "a value in place of settings": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - override /train: slow\ntrain: 3\n",
        "conf/experiment/mine.yaml: 3 is given where Train settings are needed.",
    ),
    "a value in place of a list": (
        "experiment/mine",
        "# @package _global_\nrun:\n  targets: report\n",
        "conf/experiment/mine.yaml: run.targets must be a list.",
    ),
    "chosen twice": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - /train: slow\n",
        "conf/experiment/mine.yaml: train is chosen already",
    ),
    "Latin-1": (
        "train/mine",
        b"defaults:\n  - schema\nnote: Stra\xdfe\n",
        "conf/train/mine.yaml, line 3: not UTF-8 text.",
    ),
    "no package": (
        "experiment/mine",
        "defaults:\n  - override /train: fast\n",
        "conf/experiment/mine.yaml does not begin with the line '# @package _global_'.",
    ),
    "interpolation": (
        "train/mine",
        "defaults:\n  - schema\nnote: ${run\n",
        "conf/train/mine.yaml: ",
    ),
    "unknown key": (
        "train/mine",
        "defaults:\n  - schema\nrat: 0.5\n",
        "conf/train/mine.yaml: train.rat is not a setting of this config. Did you mean train.rate?",
    ),
    "wrong type": (
        "train/mine",
        "defaults:\n  - schema\nrate: many\n",
        "conf/train/mine.yaml: train.rate=many has the wrong type.",
    ),
    "unknown option": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - override /train: slo\n",
        "conf/experiment/mine.yaml: train=slo is not a valid choice.",
    ),
    "unknown group to override": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - override /trian: slow\n",
        "conf/experiment/mine.yaml: trian is not a config group. Did you mean train?",
    ),
    "unknown group": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - /trian: slow\n",
        "conf/experiment/mine.yaml: The config 'trian/slow' does not exist. Did you mean train?",
    ),
    "unknown group inside a group": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - /report/txt: text\n",
        "conf/experiment/mine.yaml: The config 'report/txt/text' does not exist. Did you mean report?",
    ),
    "overrides before others": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - override /train: slow\n  - /report: text\n",
        "conf/experiment/mine.yaml: ",
    ),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_in_an_own_file_is_two_lines_that_name_the_file(
    run: Run, installed_program: tuple[str, ...], configs: Configs, tmp_path: Path, mistake: str
) -> None:
    name, text, said = BROKEN[mistake]
    configs({name: text})
    chosen = ["+experiment=toy", "train=mine"] if name == "train/mine" else ["+experiment=mine"]
    code, output, errors, heavy = run(*chosen, program=installed_program)
    assert (code, output, heavy) == (2, [], False), errors
    assert errors[0].startswith(said)
    assert len(errors) == 2
    assert not (tmp_path / "runs").exists()


def test_a_byte_order_mark_does_not_count(run: Run, installed_program: tuple[str, ...], configs: Configs) -> None:
    configs({"experiment/mine": b"\xef\xbb\xbf# @package _global_\ndefaults:\n  - toy\ntrain:\n  rate: 0.25\n"})
    code, _, errors, _ = run("+experiment=mine", program=installed_program)
    assert (code, errors) == (0, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_cannot_be_read_is_named(
    run: Run, installed_program: tuple[str, ...], configs: Configs, tmp_path: Path
) -> None:
    configs({"experiment/mine": "# @package _global_\n"})
    (tmp_path / "conf/experiment/mine.yaml").chmod(0)
    code, _, errors, _ = run("+experiment=mine", program=installed_program)
    assert (code, errors[0]) == (2, "conf/experiment/mine.yaml cannot be read: Permission denied.")


def test_a_broken_file_of_a_config_path_is_named_too(
    run: Run, installed_program: tuple[str, ...], configs: Configs
) -> None:
    configs({"train/slow": "defaults:\n\t- schema\n"}, "installed/shipped")
    code, _, errors, _ = run("+experiment=toy", program=installed_program)
    assert (code, len(errors)) == (2, 2)
    assert errors[0].startswith("installed/shipped/train/slow.yaml, line 2: not valid YAML")


def test_a_broken_file_that_is_not_used_is_ignored(
    run: Run, installed_program: tuple[str, ...], configs: Configs
) -> None:
    configs({"train/mine": "defaults:\n\t- schema\n"})
    code, _, errors, _ = run("+experiment=toy", program=installed_program)
    assert (code, errors) == (0, [])


def test_an_own_experiment_is_among_those_that_can_be_chosen(
    run: Run, installed_program: tuple[str, ...], configs: Configs
) -> None:
    configs({"experiment/mine": OWN_TOY})
    code, _, errors, _ = run(program=installed_program)
    assert (code, errors[-1]) == (2, "Add +experiment=NAME with one of these names: mine, toy.")
    _, _, errors, _ = run("+experiment=mien", program=installed_program)
    assert errors[-1] == "The choices are: mine, toy. Did you mean mine?"


def test_an_own_flowers_experiment_replaces_the_shipped_one(run: Run, configs: Configs, tmp_path: Path) -> None:
    shipped = (ROOT / "conf" / "experiment" / "flowers.yaml").read_text(encoding="utf-8")
    configs({"experiment/flowers": shipped.replace("override /head: linear", "override /head: mlp")})
    typed = ("+experiment=flowers", "ingest.origin=drawn", "run.plan=true")
    code, output, errors, heavy = run(*typed, program=("-m", "slimline"))
    assert (code, errors, heavy) == (0, [], False)
    assert output[0] == "using conf/experiment/flowers.yaml instead of the shipped one"
    assert [line.split()[0] for line in output if " runs " in line][:2] == ["ingest", "dataset"]
    code, output, _, _ = run("+experiment=flowers", "--cfg", "job", "--package", "head")
    assert (code, "dropout: 0.3" in output) == (0, True)  # what head=mlp sets


def test_the_files_of_the_documentation_compose(run: Run, configs: Configs, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    option, experiment = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    configs({"head/wide": option, "experiment/leaves": experiment})
    for name in ("oak", "elm"):
        (tmp_path / "leaves" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "leaves" / name / f"{number}.jpg").write_bytes(b"")
    code, output, errors, _ = run("+experiment=leaves", "ingest.images=leaves", "run.plan=true")
    assert (code, errors) == (0, [])
    assert [line.split()[0] for line in output[-3:]] == ["evaluate", "export", "report"]
