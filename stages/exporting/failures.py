"""Formats that cannot be exported: the others are kept, and the reason is told."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import LOGS, write_text
from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.models.formats import FILES, Format

ENVIRONMENT = (OSError, MemoryError, ImportError, tf.errors.ResourceExhaustedError)
"""Errors that the network and the format do not cause: they end the stage, and nothing is kept under its key."""


class FormatFailed(UserError):
    """A format that cannot be written or run, or that classifies too many photos differently."""


@contextmanager
def failing(doing: str) -> Iterator[None]:
    """Turn an error of a converter or a runtime into the failure of a format; `doing` says what could not be done.

    Raises:
        FormatFailed: something else than a UserError or an error of the environment was raised.
    """
    try:
        yield
    except (UserError, *ENVIRONMENT):
        raise
    except Exception as error:  # converters and runtimes raise many types, such as ConverterError and RuntimeError
        said = (str(error).splitlines() or [""])[0]
        raise FormatFailed(f"it cannot be {doing}: {type(error).__name__}: {said}") from error


def guarded(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function of a runtime, with its errors turned into the failure of a format."""

    def call(given: Any) -> Any:
        with failing("run"):
            return run(given)

    return call


def leave_out(one: Format, error: FormatFailed, folder: Path) -> str:
    """Remove what was written of a format, write the error with its cause into the logs, and return a text about it."""
    path = folder / FILES[one]
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    (folder / LOGS).mkdir(exist_ok=True)
    write_text(folder / LOGS / f"{one.name}.txt", "".join(traceback.format_exception(error)))
    return f"{one.name} was left out of the export: {error}"
