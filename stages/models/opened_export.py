"""An exported model, in any format, opened to classify encoded photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from slimline.stages.images.batches import AT_ONCE, padded
from slimline.stages.models.description import parse_description, read_description
from slimline.stages.models.formats import Format, format_of
from slimline.stages.models.opened import OpenedModel, preparer
from slimline.stages.models.runtimes import onnx_description, open_runtime
from slimline.stages.models.saved_model import open_saved_model
from slimline.stages.scoring.probabilities import probabilities


def open_model(path: Path, batch_size: int) -> OpenedModel:
    """Open an exported model with its format's own runtime.

    Raises:
        UserError: its format is unknown, its description is missing, or its runtime isn't installed.
    """
    kind = format_of(path)
    if kind is Format.saved_model:
        loaded = open_saved_model(path)
        return OpenedModel(
            loaded.labels,
            loaded.reject_threshold or None,
            loaded.trained,
            padded(loaded, batch_size),
            AT_ONCE,
            loaded.base_weights,
        )
    inside = onnx_description(path) if kind is Format.onnx else None
    about = parse_description(inside, path) if inside else read_description(path)
    run = open_runtime(kind, path)
    if kind is Format.frozen_graph:
        run = padded(run, batch_size)
    prepare = preparer(about.preprocessing)

    def score(encoded: Sequence[bytes]) -> NDArray[Any]:
        return probabilities(run(prepare(encoded)) / about.calibration.temperature)

    at_once = AT_ONCE if kind is Format.frozen_graph else 1
    return OpenedModel(
        about.labels, about.calibration.threshold or None, about.trained, score, at_once, about.base_weights
    )
