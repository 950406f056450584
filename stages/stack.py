"""Train many heads on the same cached features at once, for the points of a sweep."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.training.stacked_config import StackConfig, chosen_heads


@stage(choices=chosen_heads, shown=("heads", "diverged", "examples_per_second"))
def stack(config: StackConfig, out: Path, *, ingest: Artifact, features: Artifact) -> Facts:
    """Write `history.parquet`: the history of each head as `train` writes it, after its number `member`.

    The fact `members` is a list with, for each head, the facts that `train` gives, or `{"error": text}` if its training
    diverged. Sums are added in another order than in `train`, so the numbers agree to about 1e-6, not to the last bit.
    No weights are kept: the best head is trained again by `train`.

    Raises:
        ValueError: a stack cannot compute a member's training; see `alike`.
        Stopped: Ctrl-C or SIGTERM was received. Nothing is kept.
    """
    from slimline.stages.training.stacked import run_stack

    return run_stack(config, out, ingest=ingest, features=features)
