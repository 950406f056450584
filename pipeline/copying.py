"""Copy a config's option into the user's own folder, to edit it there."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from slimline.pipeline.config_files import EXPERIMENT, shown
from slimline.pipeline.config_folders import OWN, ConfigFolders
from slimline.pipeline.errors import UserError


def copy_option(arguments: Sequence[str], folders: ConfigFolders, program: str) -> None:
    """Copy the file of `group/option` into the own folder, by default `./conf`, and print how to use it.

    Raises:
        UserError: the option does not exist, or the own folder already has it.
    """
    if len(arguments) != 1:
        raise UserError(
            f"copy takes one option, but {len(arguments)} were given.",
            f"Write, for example: {program} copy {EXPERIMENT}/flowers",
        )
    name = arguments[0].lstrip("+").replace("=", "/").removesuffix(".yaml")
    source = _find(name, folders)
    own = folders.own or Path(OWN).absolute()
    target = own / f"{name}.yaml"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except OSError as error:
        if target.is_file():
            advice = "Edit it, or remove it first. To copy into another folder, add --config-dir DIR."
            if target.samefile(source):  # in a checkout, whose ./conf is the shipped folder
                advice = "It is the shipped file. Create a folder for your own files, and add --config-dir DIR."
            raise UserError(f"{shown(target)} already exists, so nothing was copied.", advice) from error
        raise UserError(
            f"{shown(target)} cannot be written: {error.strerror}.",
            "Check the folder and its permissions, or name another one with --config-dir DIR.",
        ) from error
    group, _, option = name.rpartition("/")
    setting = f"+{EXPERIMENT}={option}" if group == EXPERIMENT else f"+{EXPERIMENT}=flowers {group}={option}"
    print(f"{shown(target)} is a copy of the shipped {name}. Edit it, then use it with:")
    at = "" if own == Path(OWN).absolute() else f"--config-dir {shown(own)} "
    print(f"  {program} {at}{setting}")


def _find(name: str, folders: ConfigFolders) -> Path:
    """Find an option's file among those that are not the user's own."""
    files = {f"{group}/{option}": folder / group / f"{option}.yaml" for group, option, folder in folders.not_own()}
    if name in files:
        return files[name]
    group = name.rpartition("/")[0]
    called = {one if group else one.rpartition("/")[2]: one for one in files}  # the group may have been left out
    if members := [one for one in files if one.rpartition("/")[0] == name]:
        raise UserError(f"{name} is a group of options.", f"Name one of them: {', '.join(members)}.")
    near = [called[one] for one in get_close_matches(name, called, n=1)]
    of_group = [one for one in files if one.rpartition("/")[0] == group]
    groups = sorted({one.rpartition("/")[0] for one in files})
    there = f"{group} has: {', '.join(one.rpartition('/')[2] for one in of_group)}." if of_group else ""
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UserError(
        f"There is no option {name} to copy.{hint}",
        there or f"Write GROUP/OPTION; the groups are: {', '.join(groups)}.",
    )
