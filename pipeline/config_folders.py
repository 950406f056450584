"""Config folders in search order: the user's own folder, then the plug-ins' folders, then the shipped one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import ClassVar

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from slimline.pipeline import config_files
from slimline.pipeline.config_files import AddedConfigs
from slimline.pipeline.errors import UserError

OWN = "conf"
MAIN = "main"
"""Hydra's name for the folder that a program declares as its own."""


@dataclass(frozen=True)
class ConfigFolders:
    """The config folders: the user's own, if any, the plug-ins', and the shipped one."""

    own: Path | None
    plugins: tuple[Path, ...]
    shipped: Path

    @property
    def added(self) -> list[Path]:
        """The folders that are searched before the shipped one."""
        return [*([self.own] if self.own else []), *self.plugins]

    @property
    def all(self) -> list[Path]:
        """Every folder, in search order."""
        return [*self.added, self.shipped]

    @property
    def places(self) -> list[str]:
        """Every folder as an entry of Hydra's search path."""
        return [*(f"{AddedConfigs.scheme()}://{folder}" for folder in self.added), str(self.shipped)]

    def options(self) -> Iterator[tuple[str, str, Path]]:
        """List each option as its group, its name and the folder that it is taken from."""
        return list_options(self.all)

    def not_own(self) -> Iterator[tuple[str, str, Path]]:
        """List the options of the plug-ins and of Slimline, without the user's own folder."""
        return list_options([*self.plugins, self.shipped])


def list_options(folders: Iterable[Path]) -> Iterator[tuple[str, str, Path]]:
    """List each option as its group, its name and the first of the folders that has it."""
    seen = set()
    for folder in folders:
        for path in sorted(folder.glob("*/**/*.yaml")):
            group, name = path.parent.relative_to(folder).as_posix(), path.stem
            if (group, name) not in seen:
                seen.add((group, name))
                yield group, name, folder


def find_config_folders(given: str | PathLike[str] | None, plugins: list[Path], shipped: Path) -> ConfigFolders:
    """Return the folders to search. The user's own is `given`, or else `./conf` if it has a file in a known group.

    Raises:
        UserError: the given folder does not exist.
    """
    if given is not None:
        own = Path(given).expanduser().absolute()
        if not own.is_dir():
            raise UserError(
                f"--config-dir {given} is not a folder (looked for {own}).",
                "Create it, or name a folder with your own options, such as experiment/mine.yaml.",
            )
        return ConfigFolders(own, tuple(plugins), shipped)
    here = Path(OWN).absolute()
    is_shipped = here.exists() and here.samefile(shipped)
    groups = {path.name for folder in (*plugins, shipped) for path in folder.iterdir() if path.is_dir()}
    ours = here.is_dir() and any(next((here / group).rglob("*.yaml"), None) for group in sorted(groups))
    return ConfigFolders(here if ours and not is_shipped else None, tuple(plugins), shipped)


class AddedFirst(SearchPathPlugin):
    """Puts folders before the program's own on Hydra's search path; Hydra's --config-dir would put them after it."""

    folders: ClassVar[list[Path]] = []

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in self.folders:
            search_path.prepend("added", f"{AddedConfigs.scheme()}://{folder}", anchor=MAIN)


def search_first(folders: ConfigFolders) -> None:
    """Make the Hydra applications that start after this call search the added folders before their own."""
    know_added_configs(folders)
    Plugins.instance().register(AddedFirst)
    AddedFirst.folders = folders.added


def know_added_configs(folders: ConfigFolders) -> None:
    """Register the added folders with Hydra, and clear the record of files that an earlier command used."""
    Plugins.instance().register(AddedConfigs)
    config_files.used.clear()
    config_files.chosen.clear()
    config_files.included.clear()
    config_files.searched[:] = folders.all
