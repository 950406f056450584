from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from slimline import __version__
from slimline.pipeline.commands import COMMANDS, program_name, split_command
from slimline.pipeline.errors import UserError

Told = tuple[int, list[str], list[str], bool]
Run = Callable[..., Told]
Configs = Callable[..., Path]


@pytest.mark.parametrize("program", [("-m", "pipeline"), ("-m", "slimline")])
def test_the_version_is_slimlines(run: Run, program: tuple[str, ...]) -> None:
    code, output, errors, heavy = run("--version", program=program)
    assert (code, output, errors, heavy) == (0, [f"Slimline {__version__}"], [], False)


def test_run_may_be_left_out(run: Run) -> None:
    named, plain = (run(*words, "+experiment=flowers", "--cfg", "job") for words in (["run"], []))
    assert named == plain
    assert named[0] == 0


@pytest.mark.parametrize(
    ("arguments", "split"),
    [
        ([], ("run", [])),
        (["+experiment=flowers"], ("run", ["+experiment=flowers"])),
        (["run", "+experiment=flowers"], ("run", ["+experiment=flowers"])),
        (["copy", "head/mlp"], ("copy", ["head/mlp"])),
        (["head=mlp", "copy"], ("run", ["head=mlp", "copy"])),
        (["flowers"], ("run", ["flowers"])),
    ],
)
def test_the_first_word_is_the_command(arguments: list[str], split: tuple[str, list[str]]) -> None:
    assert split_command(arguments) == split


def test_a_misspelled_command_is_corrected() -> None:
    with pytest.raises(UserError) as caught:
        split_command(["coppy", "head/mlp"])
    assert str(caught.value).splitlines() == [
        "coppy is not a command. Did you mean copy?",
        f"The commands are: {', '.join(COMMANDS)}.",
    ]


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/home/ada/slimline/pipeline/__main__.py", "python -m pipeline"),
        ("/site-packages/slimline/__main__.py", "python -m slimline"),
        ("/home/ada/.venv/bin/slimline", "slimline"),
        ("slimline.exe", "slimline"),
    ],
)
def test_commands_are_shown_as_they_were_typed(monkeypatch: pytest.MonkeyPatch, called: str, name: str) -> None:
    monkeypatch.setattr("sys.argv", [called])
    assert program_name() == name


def test_help_lists_commands_and_marks_what_is_not_shipped(
    run: Run, installed_program: tuple[str, ...], configs: Configs
) -> None:
    configs({"train/mine": "", "experiment/toy": ""})
    configs({"train/added": "", "train/mine": "", "other/one": ""}, "plugged")
    code, output, errors, _ = run("--help", program=installed_program)
    assert (code, errors) == (0, [])
    told = {
        line.split()[0]: line.split(maxsplit=1)[1] for line in output if re.match(r"  (train|other|experiment) ", line)
    }
    assert told == {
        "train": "added (plug-in), fast, mine (yours), slow",
        "other": "one (plug-in)",
        "experiment": "toy (yours)",
    }
    assert "(yours) are in conf" in "\n".join(output)
    commands = output[output.index("Commands:") + 1 :]
    assert [line.split()[1] for line in commands[: commands.index("")]] == list(COMMANDS)
    _, named, _, _ = run("--help", "--config-dir", "conf", program=installed_program)
    assert named == output
