"""Config folders: where choices are looked for, the user's own folder first, then plug-ins', then the shipped one."""

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
"""What Hydra calls the folder that a program declares as its own."""


@dataclass(frozen=True)
class ConfigFolders:
    """The folders of configs in the order of the search: the user's own, if any, plug-ins', and the shipped one."""

    own: Path | None
    plugins: tuple[Path, ...]
    shipped: Path

    @property
    def added(self) -> list[Path]:
        """The folders that are searched before the shipped one."""
        return [*([self.own] if self.own else []), *self.plugins]

    @property
    def all(self) -> list[Path]:
        """Every folder, in the order of the search."""
        return [*self.added, self.shipped]

    @property
    def places(self) -> list[str]:
        """Every folder as an entry of Hydra's search path."""
        return [*(f"{AddedConfigs.scheme()}://{folder}" for folder in self.added), str(self.shipped)]

    def options(self) -> Iterator[tuple[str, str, Path]]:
        """List each option as its group, its name and the folder that it is taken from."""
        return list_options(self.all)

    def not_own(self) -> Iterator[tuple[str, str, Path]]:
        """List the options as they are without the user's own folder."""
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
    """Return where to look: in the `given` folder, else in `./conf` where that holds one of our groups.

    Raises:
        UserError: the given folder does not exist.
    """
    if given is not None:
        own = Path(given).expanduser().absolute()
        if not own.is_dir():
            raise UserError(
                f"--config-dir {given} is not a folder (looked for {own}).",
                "Create it, or name a folder that holds options of your own, such as experiment/mine.yaml.",
            )
        return ConfigFolders(own, tuple(plugins), shipped)
    here = Path(OWN).absolute()
    is_shipped = here.exists() and here.samefile(shipped)
    groups = {path.name for folder in (*plugins, shipped) for path in folder.iterdir() if path.is_dir()}
    ours = here.is_dir() and any(next((here / group).rglob("*.yaml"), None) for group in sorted(groups))
    return ConfigFolders(here if ours and not is_shipped else None, tuple(plugins), shipped)


class AddedFirst(SearchPathPlugin):
    """Puts folders before the program's own on Hydra's search path; Hydra's --config-dir puts its folder behind."""

    folders: ClassVar[list[Path]] = []

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in self.folders:
            search_path.prepend("added", f"{AddedConfigs.scheme()}://{folder}", anchor=MAIN)


def search_first(folders: ConfigFolders) -> None:
    """Have Hydra applications that start from here on search the added folders before their own."""
    know_added_configs(folders)
    Plugins.instance().register(AddedFirst)
    AddedFirst.folders = folders.added


def know_added_configs(folders: ConfigFolders) -> None:
    """Have Hydra read the added folders, and forget what an earlier command used of them."""
    Plugins.instance().register(AddedConfigs)
    config_files.used.clear()
    config_files.chosen.clear()
    config_files.searched[:] = folders.all
