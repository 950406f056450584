"""The commands of the command line, in one table: `slimline COMMAND ...`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slimline.pipeline.config_folders import ConfigFolders
from slimline.pipeline.copying import copy_option
from slimline.pipeline.errors import UserError
from slimline.pipeline.listing import list_runs

RUN = "run"
"""The command that is meant where none is named: Hydra composes a config, and its stages run."""


@dataclass(frozen=True)
class Command:
    """What a command does: how it is written and what for, and the function that takes its arguments.

    The function prints what it has to say, and raises UserError for a mistake. `None` stands for a run.
    """

    written: str
    purpose: str
    function: Callable[[Sequence[str], ConfigFolders, str], None] | None


COMMANDS = {
    RUN: Command("run +experiment=...", "run an experiment; 'run' may be left out", None),
    "copy": Command("copy experiment/flowers", "write ./conf/experiment/flowers.yaml, for you to edit", copy_option),
    "runs": Command("runs", "list the runs: what each tried, its test top-1, its size", list_runs),
}


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Take the command's name off the arguments.

    Raises:
        UserError: the first argument is a word near to a command's name.
    """
    first, *rest = arguments or [""]
    if first in COMMANDS:
        return first, rest
    if first.isidentifier() and (near := get_close_matches(first, COMMANDS, n=1)):
        raise UserError(
            f"{first} is not a command. Did you mean {near[0]}?", f"The commands are: {', '.join(COMMANDS)}."
        )
    return RUN, list(arguments)


def program_name() -> str:
    """Return how this program was started, as a user would type it: `slimline` or `python -m pipeline`."""
    called = Path(sys.argv[0])
    return f"python -m {called.parent.name}" if called.name == "__main__.py" else called.name.removesuffix(".exe")
