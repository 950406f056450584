"""Classify: photos in, the likeliest names out; by a base's ImageNet names, or by a trained model's."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.serving.classify_config import ClassifyConfig
from slimline.stages.serving.classify_settle import settle_images


@stage(
    cache=False,
    resolve=settle_images,
    optional={"base": lambda config: config.model is None},
    shown=("images", "left_out", "unknown", "threshold"),
)
def classify(config: ClassifyConfig, out: Path, *, base: Artifact | None) -> Facts:
    """Print photos' `top` names and scores; write `predictions.*`, and `failures.jsonl`: what can't be used, and why.

    Raises:
        UserError: no photo could be used.
    """
    from slimline.stages.serving.classify import classify_photos

    return classify_photos(config, out, base)
