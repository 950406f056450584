"""The stages by name, and the display-only modules. Importing this module does not import TensorFlow."""

from __future__ import annotations

from slimline.pipeline.stage import Stage
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
from slimline.stages.report import report
from slimline.stages.review import review
from slimline.stages.serve import serve
from slimline.stages.train import train

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
        serve,
        fusions,
        crossval,
        crossval_report,
    )
}
