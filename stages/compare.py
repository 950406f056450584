"""Compare: several runs on one page: how good each is, where they differ, and whether that is more than luck."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from slimline.pipeline.artifact import Facts
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage


@dataclass
class CompareConfig:
    """The runs, the first of which the others are held against."""

    runs: list[str] = field(default_factory=list)


def settle_runs(config: CompareConfig, plan: bool) -> CompareConfig:
    """Find the runs before anything is read."""
    from slimline.stages.pages.finished_run import require_evaluated

    if len(config.runs) < 2:
        raise UserError(
            f"compare.runs={config.runs} are fewer than two.", "Name some: compare.runs=[runs/flowers/v001,v002]"
        )
    for run in config.runs:
        require_evaluated(Path(run).expanduser())
    return config


@stage(cache=False, resolve=settle_runs)
def compare(config: CompareConfig, out: Path) -> Facts:
    """Write `compare.html`.

    Raises:
        UserError: a run isn't there, or evaluated nothing.
    """
    from slimline.stages.pages.compare import write_comparison

    return write_comparison(config.runs, out)
