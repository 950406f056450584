"""Resolution of the evaluated model and its photos, before the key is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimline.pipeline.errors import UserError
from slimline.stages.evaluation.config import EvaluateConfig
from slimline.stages.models.formats import find_model

INGESTED = "artifacts/ingest"


def settle_model(config: EvaluateConfig, plan: bool) -> EvaluateConfig:
    """Find the given model, and the photos of its run unless others are given.

    Raises:
        UserError: the model was not found, or has no photos of its own and none are given.
    """
    if config.model is None:
        return config
    found = find_model(config.model, "evaluate.model")
    photos = Path(config.model).expanduser() / INGESTED
    if config.images is not None:
        return replace(config, model=str(found))
    if not photos.is_dir():
        raise UserError(
            f"evaluate.model={config.model} is not a run, so it has no photos of its own.",
            "Set ingest.images to the photos to evaluate.",
        )
    return replace(config, model=str(found), photos=str(photos.resolve()))
