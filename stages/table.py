"""The stages there are, by name. Importing this imports no TensorFlow."""

from __future__ import annotations

from pipeline.stage import Stage
from stages.base import base
from stages.classify import classify
from stages.compare import compare
from stages.evaluate import evaluate
from stages.export import export
from stages.features import features
from stages.fusions import fusions
from stages.head import head
from stages.ingest import ingest
from stages.report import report
from stages.review import review
from stages.serve import serve
from stages.train import train

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        ingest,
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
    )
}
