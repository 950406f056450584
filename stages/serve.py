"""Serve: an HTTP server with a page to drop photos on and a JSON API, until a signal stops it."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.serving.serve_config import ServeConfig
from slimline.stages.serving.serve_settle import settle_model


@stage(
    cache=False,
    resolve=settle_model,
    optional={"base": lambda config: config.model is None},
    shown=("images", "address"),
)
def serve(config: ServeConfig, out: Path, *, base: Artifact | None) -> Facts:
    """Answer requests until Ctrl-C or SIGTERM; requests in progress are answered first.

    Raises:
        UserError: the server cannot listen on the address.
    """
    from slimline.stages.serving.serve import serve_model

    return serve_model(config, base)
