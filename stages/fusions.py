"""Measure fusions: which operations TensorFlow fuses in a training step, and how much time each fusion saves here."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.fusion.config import FusionsConfig
from slimline.stages.fusion.settle import settle_switches

SHOWN = tuple(f"{switch}_speedup" for switch in ("bfloat16", "epoch", "batch_norm", "pointwise", "xla"))


@stage(cache=False, resolve=settle_switches, shown=SHOWN)
def fusions(config: FusionsConfig, out: Path, *, base: Artifact) -> Facts:
    """Print both tables, and write `fusions.json`, `switches.parquet` and `operations.parquet`.

    Images and labels are random: the content of an image does not change how long a step takes. The times are those of
    this machine under its current load.

    Raises:
        UserError: no variable is in a scope, the base has no trainable variables, or XLA cannot compile the step.
    """
    from slimline.stages.fusion.measure import measure_fusions

    return measure_fusions(config, out, base)
