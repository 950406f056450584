"""Resolution of the served model, before anything runs."""

from __future__ import annotations

import importlib.util

from slimline.pipeline.errors import UserError
from slimline.stages.models.formats import find_model
from slimline.stages.serving.serve_config import ServeConfig

NEEDED = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}
"""The modules that the server imports, and the packages that hold them."""


def settle_model(config: ServeConfig, plan: bool) -> ServeConfig:
    """Check that the model and the packages for serving exist, before anything runs.

    Raises:
        UserError: a package is not installed, or the model was not found.
    """
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"serve needs packages that are not installed: {', '.join(missing)}.",
            f"Install them: pip install {' '.join(missing)}",
        )
    if config.model is not None:
        find_model(config.model, "serve.model")
    return config
