"""Fusions: which operations TensorFlow fuses in a training step, and what each fusion is worth on this machine."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.fusion.config import FusionsConfig
from slimline.stages.fusion.settle import settle_switches


@stage(cache=False, resolve=settle_switches)
def fusions(config: FusionsConfig, out: Path, *, base: Artifact) -> Facts:
    """Print both tables; write `fusions.json`, `switches.parquet` and `operations.parquet`.

    Images and labels are random: what is on a picture changes nothing about how long a step takes. Times are of this
    machine as busy as it is.

    Raises:
        UserError: a scope names no variable, the base has none to train, or XLA can't compile the step.
    """
    from slimline.stages.fusion.measure import measure_fusions

    return measure_fusions(config, out, base)
