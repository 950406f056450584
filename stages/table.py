"""The stages by name, and the display-only modules. Importing this module does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slimline.pipeline.stage import Stage
from slimline.pipeline.together import Together
from slimline.stages.base import base
from slimline.stages.classify import classify
from slimline.stages.compare import compare
from slimline.stages.crossval import crossval
from slimline.stages.crossval_report import crossval_report
from slimline.stages.dataset import dataset
from slimline.stages.evaluate import evaluate
from slimline.stages.export import export
from slimline.stages.features import features
from slimline.stages.fusions import fusions
from slimline.stages.head import head
from slimline.stages.ingest import ingest
from slimline.stages.leaderboard import leaderboard
from slimline.stages.report import report
from slimline.stages.review import review
from slimline.stages.serve import serve
from slimline.stages.stack import stack
from slimline.stages.train import train
from slimline.stages.training.stacked_config import alike, stack_config

DISPLAY_ONLY = (
    "slimline.stages.backend.captions",
    "slimline.stages.training.display",
    "slimline.stages.training.fonts",
    "slimline.stages.training.progress",
    "slimline.stages.training.tensorboard",
    "slimline.stages.training.tensorboard_images",
)
"""Modules that only display something: progress bars, captions, TensorBoard. They are not part of any store key.

None of them may return a value that reaches an artifact. A test replaces each by a stub and compares the artifacts.
"""

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        ingest,
        dataset,
        base,
        features,
        review,
        head,
        train,
        evaluate,
        export,
        report,
        classify,
        compare,
        leaderboard,
        serve,
        fusions,
        crossval,
        crossval_report,
    )
}

TOGETHER: dict[str, Together] = {"train": Together(stack, alike, stack_config)}
"""The stages that compute the work of another stage for several points of a sweep at once, by that stage's name.

They are not in `STAGES`, since they have no config group: a sweep makes their configs from those of its points.
"""


def _finish_sweep(folder: Path) -> None:
    from slimline.stages.pages.hyperparameters import write_hparams
    from slimline.stages.pages.leaderboard import write_leaderboard

    write_leaderboard(folder)
    write_hparams(folder)


FINISH_SWEEP: Callable[[Path], None] = _finish_sweep
"""What a sweep calls with its folder at its end: it writes `leaderboard.html`, and `logs` for TensorBoard."""

TENSORFLOW = "slimline.stages.backend.slim"
"""TF-Slim hides scikit-learn from its own import, so it comes before the modules that import scikit-learn."""

IMPORTS = {
    "ingest": (TENSORFLOW, "slimline.stages.data.ingesting"),
    "base": (TENSORFLOW, "slimline.stages.models.base"),
    "features": (TENSORFLOW, "slimline.stages.data.bottlenecks"),
    "review": (TENSORFLOW, "slimline.stages.data.reviewing"),
    "head": (TENSORFLOW, "slimline.stages.models.head"),
    "train": (TENSORFLOW, "slimline.stages.training.loop"),
    "evaluate": (TENSORFLOW, "slimline.stages.evaluation.measures", "scipy.optimize", "sklearn.metrics"),
    "export": (TENSORFLOW, "slimline.stages.exporting.export"),
    "report": (TENSORFLOW, "slimline.stages.pages.report"),
}
"""Modules that each stage imports when it runs and that take long, in order, for the command line's warm-up.

They are listed here and not in the stages' files, because they must not be part of any store key.
"""
