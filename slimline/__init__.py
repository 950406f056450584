"""Slimline: from a folder of photos to a trained, measured and exported image classifier.

`slimline.run` runs an experiment and `slimline.load` opens a run that was made before; both return a `Run`. A mistake
that the user can fix is a `UserError`. Importing this module imports nothing more until one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slimline.api import load, run
    from slimline.pipeline.errors import UserError
    from slimline.results import Run

__version__ = "0.1.0"
__all__ = ["Run", "UserError", "__version__", "load", "run"]

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
