"""Report: one self-contained page that says what was done and how well it went. Always runs last."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact, Facts, write_text
from pipeline.config import require_range
from pipeline.stage import RunRecord, stage


@dataclass
class ReportConfig:
    """How many of the most confident mistakes to show."""

    mistakes: int = 24

    def __post_init__(self) -> None:
        require_range("report.mistakes", self.mistakes, 0, 1000)


@stage(cache=False)
def report(
    config: ReportConfig,
    out: Path,
    *,
    ingest: Artifact,
    train: Artifact,
    evaluate: Artifact,
    export: Artifact,
    run: RunRecord,
) -> Facts:
    """Write `report.html`, with everything it shows inside."""
    import pyarrow.parquet as pq

    from stages.model import read_card
    from stages.page import Mistake, page
    from stages.thumbnails import thumbnails

    metrics: dict[str, Any] = json.loads((evaluate.path / "metrics.json").read_text(encoding="utf-8"))
    card = read_card(train.path)
    wrong = [
        row
        for row in pq.read_table(evaluate.path / "predictions.parquet").to_pylist()
        if row["label"] != row["predicted"]
    ]
    wrong.sort(key=lambda row: (-row["score"], row["filename"]))
    shown = wrong[: config.mistakes]
    with ThreadPoolExecutor(1) as executor:  # pictures are made in C, and charts in Python
        making = executor.submit(thumbnails, ingest.path, "test", {row["sha256"] for row in shown})
        charts = _charts(metrics, card.labels, train.path)
        pictures = making.result()
    text = page(
        drawn=ingest.facts["origin"] != "photos",
        untrained=not card.trained,
        metrics=metrics,
        facts={name: artifact.facts for name, artifact in run.artifacts.items()},
        network=card.network,
        charts=charts,
        mistakes=[
            Mistake(pictures[row["sha256"]], row["filename"], row["label"], row["predicted"], row["score"])
            for row in shown
        ],
        total_mistakes=len(wrong),
        manifest=run.manifest,
        config_yaml=(run.path / "config.yaml").read_text(encoding="utf-8"),
        environment=json.loads((run.path / "environment.json").read_text(encoding="utf-8")),
    )
    write_text(out / "report.html", text)
    return {"headline": "report    {path}/report.html"}


def _charts(metrics: dict[str, Any], labels: list[str], train: Path) -> dict[str, str]:
    import pyarrow.parquet as pq

    from stages.charts import confusion_chart, training_chart

    return {
        "Confusion matrix": confusion_chart(metrics["confusion_matrix"], labels),
        "Training": training_chart(pq.read_table(train / "history.parquet").to_pydict()),
    }
