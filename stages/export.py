"""Export: the trained model as others can use it, kept only if it still says what it said in evaluation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact, Facts, write_text
from pipeline.config import require_range
from pipeline.errors import UserError
from pipeline.stage import stage

if TYPE_CHECKING:
    from stages.saved_model import SavedModel

SAVED_MODEL = "saved_model"
MOST_SHOWN = 3
TIMED_PHOTOS = 20
WINDOW = 16
"""How many batches of encoded photos are held at once."""


@dataclass
class ExportConfig:
    """How many photos a check reads at once."""

    batch_size: int = 16

    def __post_init__(self) -> None:
        require_range("export.batch_size", self.batch_size, 1, 4096)


@stage()
def export(config: ExportConfig, out: Path, *, ingest: Artifact, train: Artifact, evaluate: Artifact) -> Facts:
    """Write `saved_model/` and `labels.txt`; the SavedModel is loaded back and must agree on every test photo.

    Its signature takes `image_bytes` [batch] strings (JPEG, PNG, GIF or BMP) and returns `names`
    [batch, classes] strings and `probabilities` [batch, classes] float32, in the labels' order.

    Raises:
        UserError: the loaded model's best class differs from the evaluated one's on any test photo.
    """
    from stages.model import read_card, read_weights
    from stages.saved_model import SavedModel, write_saved_model

    card = read_card(train.path)
    values = read_weights(train.path / "best.ckpt")
    write_saved_model(out / SAVED_MODEL, card, evaluate.path / "frozen.pb", values)
    write_text(out / "labels.txt", "".join(f"{label}\n" for label in card.labels))
    classify = SavedModel(out / SAVED_MODEL)
    latency_seconds = _latency_seconds(classify, ingest.path)  # first: the graph is optimised for one caller, not two
    said = _best_names(classify, ingest.path, config.batch_size)
    flips = find_flips(evaluate.path / "predictions.parquet", said)
    if flips:
        raise UserError(
            f"The SavedModel names {len(flips)} test photos otherwise than the model that was evaluated.",
            f"For example: {'; '.join(flips[:MOST_SHOWN])}",
            "It was not kept.",
        )
    size = sum(path.stat().st_size for path in (out / SAVED_MODEL).rglob("*") if path.is_file())
    return {
        "size_mb": size / 1e6,
        "checked": len(said),
        "flips": 0,
        "latency_seconds": latency_seconds,
        "headline": f"model     {{path}}/{SAVED_MODEL}",
    }


def _best_names(classify: SavedModel, ingest: Path, batch_size: int) -> dict[str, str]:
    """Return each test photo's likeliest class by the photo's sha256; two batches at once keep all cores at work."""
    from stages.data.batches import AT_ONCE, run_padded, without_autotune
    from stages.data.records import read_records

    def best(batch: dict[str, Any]) -> list[tuple[str, str]]:
        numbers = run_padded(classify, batch["encoded"], batch_size).argmax(axis=1)
        names = [classify.labels[number] for number in numbers]
        return list(zip((sha256.decode() for sha256 in batch["sha256"].numpy()), names, strict=True))

    said: dict[str, str] = {}
    batches = iter(read_records(ingest, "test").batch(batch_size).with_options(without_autotune()))
    with ThreadPoolExecutor(AT_ONCE) as executor:
        while window := list(islice(batches, WINDOW)):
            said.update(pair for pairs in executor.map(best, window) for pair in pairs)
    return said


def _latency_seconds(classify: Callable[[list[bytes]], Any], ingest: Path) -> float:
    """Return the median time of one photo's way from its bytes to its names, over the first test photos."""
    from stages.data.batches import without_autotune
    from stages.data.records import read_records

    photos = read_records(ingest, "test").take(TIMED_PHOTOS).with_options(without_autotune())
    encoded = [[record["encoded"].numpy()] for record in photos]
    classify(encoded[0])  # the first call of a batch size prepares its layers
    seconds = []
    for one in encoded:
        started = time.perf_counter()
        classify(one)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def find_flips(predictions: Path, said: dict[str, Any]) -> list[str]:
    """List the test photos whose best class in `said` (by sha256) differs from the evaluated one."""
    import pyarrow.parquet as pq

    rows = pq.read_table(predictions, columns=["filename", "sha256", "predicted"]).to_pylist()
    return [
        f"{row['filename']}: {said.get(row['sha256'])!r}, was {row['predicted']!r}"
        for row in rows
        if said.get(row["sha256"]) != row["predicted"]
    ]
