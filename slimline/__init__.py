"""Slimline: from a folder of photos to a trained, measured and exported image classifier.

`slimline.run` runs an experiment and `slimline.load` opens an existing run; both return a `Run`. A mistake that the
user can fix raises a `UserError`. The rest of Slimline is imported only when one of these names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slimline.api import load, run
    from slimline.pipeline.errors import UserError
    from slimline.results import Run

__version__ = "0.1.0"
__all__ = ["Run", "UserError", "__version__", "load", "run"]


def _check_folders() -> None:
    """Check that conf, pipeline and stages are folders: links in a checkout, real folders in an installed copy.

    Raises:
        ImportError: git wrote the links as text files, as it does on Windows unless links are allowed.
    """
    from pathlib import Path

    for folder in (Path(__file__).with_name(name) for name in ("conf", "pipeline", "stages")):
        if not folder.is_dir():
            raise ImportError(
                f"{folder} is not a link to the folder ../{folder.name}. Run `git config core.symlinks true` and "
                "`git checkout -- slimline` (on Windows, turn on developer mode first), or install a wheel.",
                name=__name__,  # with it, `python -m slimline` prints this message without a traceback
            )


_check_folders()

_MODULES = {
    "Run": "slimline.results",
    "UserError": "slimline.pipeline.errors",
    "load": "slimline.api",
    "run": "slimline.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
