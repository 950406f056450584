"""Config files that do not come with Slimline: the user's own and the plug-ins', checked as they are read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import yaml
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from slimline.pipeline.errors import UserError

log = logging.getLogger(__name__)

EXPERIMENT = "experiment"
SWEEP = "sweep"
"""The group of the sweeps that files keep."""
ALL_SETTINGS = "`+experiment=flowers --cfg job` shows all settings."
GLOBAL = "_global_"
ROOT = "config"
BYTE_ORDER_MARK = "\ufeff"

used: dict[str, Path] = {}
"""The files that were read since the last command began, by their name in a config, such as `experiment/flowers`."""

chosen: dict[tuple[str, str], Path] = {}
"""The choices that these files make: the file, by the group and the option that it chooses."""

included: dict[str, list[str]] = {}
"""The files of its own group that each of these files includes by its list of defaults."""

searched: list[Path] = []
"""All config folders in search order; the shipped one is last."""


class AddedConfigs(ConfigSource):
    """A config folder that is searched before the shipped one, as `slimline://FOLDER`.

    A mistake in a file raises a UserError that names the file. The root, `config.yaml`, is never taken from here.
    """

    @staticmethod
    def scheme() -> str:
        return "slimline"

    def load_config(self, config_path: str) -> ConfigResult:
        file = self._file(config_path)
        text = read_text(file)
        config = parse(file, text)
        header = self._header(file, text)
        name = config_path.removesuffix(".yaml")
        if name.startswith(f"{EXPERIMENT}/") and header["package"] != GLOBAL:
            raise UserError(
                f"{shown(file)} does not begin with the line '# @package {GLOBAL}'.",
                "Make it the first line, so that the file's settings apply to the whole config.",
            )
        _note(name, file, config, Path(self.path))
        return ConfigResult(provider=self.provider, path=self.full_path(), config=config, header=header)

    def _header(self, file: Path, text: str) -> dict[str, str | None]:
        try:
            return self._get_header_dict(text)
        except ValueError as error:  # raised by Hydra, which has no type of its own for it
            raise UserError(f"{shown(file)}: {error}", f"Write '# @package {GLOBAL}', or remove the line.") from error

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / self._normalize_file_name(config_path)

    def is_group(self, config_path: str) -> bool:
        return (Path(self.path) / config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        return config_path.removesuffix(".yaml") != ROOT and self._file(config_path).is_file()

    def available(self) -> bool:
        return self.is_group("")

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        files: list[str] = []
        for path in (Path(self.path) / config_path).iterdir():
            self._list_add_result(files, f"{config_path}/{path.name}".lstrip("/"), path.name, results_filter)
        return sorted(set(files))


def read_text(file: Path) -> str:
    """Return the text of a config file.

    Raises:
        UserError: it is not UTF-8, or it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{shown(file)} cannot be read: {error.strerror}.", "Check the file's permissions, or remove it."
        ) from error
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{shown(file)}, line {line}: not UTF-8 text.", "Save the file as UTF-8.") from error
    return text.removeprefix(BYTE_ORDER_MARK)


def parse(file: Path, text: str) -> DictConfig:
    """Return a config file's settings.

    Raises:
        UserError: it is not YAML, not a mapping, or its defaults are not a list of choices.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and not isinstance(node, yaml.MappingNode):
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
            raise UserError(f"{shown(file)} contains {kind}, not settings.", "Write one 'key: value' on each line.")
        config = OmegaConf.load(StringIO(text))
    except yaml.YAMLError as error:
        raise explain_yaml(error, file) from error
    except OmegaConfBaseException as error:
        said, _, _ = str(error).partition("\n")
        raise UserError(f"{shown(file)}: {said}", "Correct the value. Write a literal ${ as \\${.") from error
    assert isinstance(config, DictConfig)
    _check_defaults(file, config)
    return config


def explain_yaml(error: yaml.YAMLError, file: Path | None = None) -> UserError:
    """Return an error that says where a file is not valid YAML, with the usual reason."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    name = shown(file) if file else shown(Path(mark.name)) if mark else "A config file"
    where = f"{name}, line {mark.line + 1}" if mark else name
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    if "\\t" in problem:
        advice = "Indent with spaces, not tabs."
    elif "duplicate key" in problem:
        advice = "Keep one of the lines that set the key."
    else:
        advice = "Indent each level by two spaces, put a space after ':' and quote values that hold ': ' or ' #'."
    return UserError(f"{where}: not valid YAML ({problem}).", advice)


def _check_defaults(file: Path, config: DictConfig) -> None:
    defaults = config._get_node("defaults")
    if defaults is None:
        return
    items = list(defaults._iter_ex(resolve=False)) if isinstance(defaults, ListConfig) else [None]
    for item in items:
        named = isinstance(item, str)
        if isinstance(item, DictConfig) and len(item) == 1:
            [(_, option)] = item.items_ex(resolve=False)
            named = option is None or isinstance(option, str | ListConfig)
        if not named:
            raise UserError(
                f"{shown(file)}: defaults must be a list of choices.",
                "Write each choice on its own line, such as '  - schema' or '  - override /head: mlp'.",
            )


def _note(name: str, file: Path, config: DictConfig, folder: Path) -> None:
    """Record that a file is used, and log it if it replaces a file from a folder that is searched later."""
    later = searched[searched.index(folder) + 1 :] if folder in searched else []
    replaced = [one for one in later if (one / f"{name}.yaml").is_file()]
    if name not in used and replaced:
        whose = "the shipped one" if replaced[-1] == searched[-1] else "a plug-in's"
        log.info("using %s instead of %s", shown(file), whose)
    used[name] = file
    here = name.rpartition("/")[0]
    included[name] = [f"{here}/{item}" for item in config.get("defaults", ()) if isinstance(item, str)]
    if (circle := _circle(name)) is not None:
        raise UserError(
            f"{shown(file)} includes itself: {' -> '.join(circle)}.", "Remove one of these from the list of defaults."
        )
    for group, option in _choices(config):
        chosen[(group.removeprefix("/") if group.startswith("/") else f"{here}/{group}", option)] = file


def _circle(name: str) -> list[str] | None:
    """Return the names on the way from a file through its defaults back to it, if there is one."""
    paths = [[name]]
    while paths:
        path = paths.pop()
        for following in included.get(path[-1], ()):
            if following == name:
                return [*path, name]
            if following not in path:
                paths.append([*path, following])
    return None


def _choices(config: DictConfig) -> Iterator[tuple[str, str]]:
    for item in config.get("defaults", ()):
        if isinstance(item, DictConfig):
            for key, option in item.items_ex(resolve=False):
                yield str(key).split(" ")[-1].partition("@")[0], str(option)


def shown(file: Path) -> str:
    """Return a path as a user would type it: relative if it is below the current directory."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
