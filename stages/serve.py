"""Serve: a page to drop photos on, and a JSON API beside it, until a signal ends it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage
from slimline.stages.serving.config import ServeConfig

NEEDED = ("fastapi", "uvicorn")


def settle_model(config: ServeConfig, plan: bool) -> ServeConfig:
    """Find the model and the framework before anything runs."""
    from slimline.stages.models.formats import find_model

    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve wants {' and '.join(missing)}, which aren't installed.", "pip install -e '.[serve]'")
    if config.model is not None:
        find_model(config.model, "serve.model")
    return config


@stage(cache=False, resolve=settle_model, optional={"base": lambda config: config.model is None})
def serve(config: ServeConfig, out: Path, *, base: Artifact | None) -> Facts:
    """Listen until Ctrl-C or SIGTERM; requests under way are answered first.

    Raises:
        UserError: the address can't be listened on.
    """
    from slimline.stages.serving.server import run_server

    return run_server(config, base)
