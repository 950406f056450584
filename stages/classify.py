"""Classify: the most likely classes of photos, by a trained model or by a base with its ImageNet classes."""

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
    """Print the `top` names and scores of each photo; write `predictions.*` and `failures.jsonl`.

    `failures.jsonl` lists the photos that can't be used, and why.

    Raises:
        UserError: no photo can be used.
    """
    from slimline.stages.serving.classify import classify_photos

    return classify_photos(config, out, base)
