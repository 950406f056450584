"""Which model is served, found before anything runs."""

from __future__ import annotations

import importlib.util

from slimline.pipeline.errors import UserError
from slimline.stages.models.formats import find_model
from slimline.stages.serving.serve_config import ServeConfig

NEEDED = ("fastapi", "uvicorn")


def settle_model(config: ServeConfig, plan: bool) -> ServeConfig:
    """Find the model and the framework before anything runs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve needs {' and '.join(missing)}: not installed.", f"pip install {' '.join(missing)}")
    if config.model is not None:
        find_model(config.model, "serve.model")
    return config
