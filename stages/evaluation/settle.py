"""Resolution of the evaluated model, its photos and those that trained it, before the key is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimline.pipeline.config import require_path
from slimline.pipeline.errors import UserError
from slimline.stages.evaluation.config import EvaluateConfig
from slimline.stages.models.formats import TRAINING_PHOTOS, find_model

EXPORTED = Path("artifacts/export")
INGESTED = Path("artifacts/ingest")


def settle_model(config: EvaluateConfig, plan: bool) -> EvaluateConfig:
    """Find the given model and the photos that trained it, and the photos of its run unless others are given.

    Raises:
        UserError: the model or the list of its photos was not found, or it has no photos of its own and none are given.
    """
    if config.model is None:
        if config.trained_on is not None:
            raise UserError(
                f"evaluate.trained_on={config.trained_on} needs a model: evaluate.model is not set.",
                "Remove it: the photos that this run trains on are known.",
            )
        return config
    found = find_model(config.model, "evaluate.model")
    photos = Path(config.model).expanduser() / INGESTED
    given = config.trained_on
    listed = str(require_path("evaluate.trained_on", given)) if given else _trained_on(found.absolute())
    config = replace(config, model=str(found), trained_on=listed)
    if config.images is not None:
        return config
    if not photos.is_dir():
        raise UserError(
            f"evaluate.model={config.model} is not a run, so it has no photos of its own.",
            "Set ingest.images to the photos to evaluate.",
        )
    return replace(config, photos=str(photos.resolve()))


def _trained_on(model: Path) -> str | None:
    """Return the file that lists the photos which trained a model: next to it, or in its run for earlier versions'."""
    folder = model.parent
    listed = [folder / TRAINING_PHOTOS]
    if folder.parts[-2:] == EXPORTED.parts:
        listed.append(folder.parent.parent / INGESTED / "index.parquet")
    return next((str(path.resolve()) for path in listed if path.is_file()), None)
