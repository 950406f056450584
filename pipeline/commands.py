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

LEADING = ("--config-dir", "-cd")
"""Options with a value that may be written before the command, too."""
RUN = "run"
"""The default command: Hydra composes a config, and its stages run."""


@dataclass(frozen=True)
class Command:
    """A command: how it is written, its purpose, and the function that takes its arguments.

    The function prints its output, and raises UserError for a mistake. `None` means a run.
    """

    written: str
    purpose: str
    function: Callable[[Sequence[str], ConfigFolders, str], None] | None


COMMANDS = {
    RUN: Command("run +experiment=...", "run an experiment; 'run' may be left out", None),
    "copy": Command("copy experiment/flowers", "write ./conf/experiment/flowers.yaml, for you to edit", copy_option),
    "runs": Command("runs", "list the runs: their settings, test top-1 and sizes", list_runs),
}


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Separate the command's name from its arguments.

    Raises:
        UserError: the first argument is similar to a command's name.
    """
    first, *rest = arguments or [""]
    if first in COMMANDS:
        return first, rest
    if first in LEADING and len(rest) > 1 and rest[1] in COMMANDS:
        return rest[1], [first, rest[0], *rest[2:]]
    if first.isidentifier() and (near := get_close_matches(first, COMMANDS, n=1)):
        raise UserError(
            f"{first} is not a command. Did you mean {near[0]}?", f"The commands are: {', '.join(COMMANDS)}."
        )
    return RUN, list(arguments)


def program_name() -> str:
    """Return the name of this program as a user would type it: `slimline` or `python -m pipeline`."""
    called = Path(sys.argv[0])
    return f"python -m {called.parent.name}" if called.name == "__main__.py" else called.name.removesuffix(".exe")
