"""Compare: several runs on one page: their metrics, their differences, and how likely those are chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from slimline.pipeline.artifact import Facts
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage


@dataclass
class CompareConfig:
    """The folders of the runs; each of the others is compared with the first."""

    runs: list[str] = field(default_factory=list)


def settle_runs(config: CompareConfig, plan: bool) -> CompareConfig:
    """Check that there are at least two runs and that each was evaluated, before anything is read."""
    from slimline.stages.pages.finished_run import require_evaluated

    if len(config.runs) < 2:
        raise UserError(
            f"compare.runs={config.runs} names fewer than two runs.",
            "Name at least two: 'compare.runs=[runs/flowers/v001,runs/flowers/v002]'",
        )
    for run in config.runs:
        require_evaluated(Path(run).expanduser())
    return config


@stage(cache=False, resolve=settle_runs, shown=("runs", "best_top1", "best"))
def compare(config: CompareConfig, out: Path) -> Facts:
    """Write `compare.html`.

    Raises:
        UserError: a run does not exist, or has no evaluation.
    """
    from slimline.stages.pages.compare import write_comparison

    return write_comparison(config.runs, out)
