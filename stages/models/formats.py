"""Model formats: their names, their files, and the search for an exported model."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from slimline.pipeline.artifact import LOGS
from slimline.pipeline.errors import UserError


class Format(Enum):
    """A file format that a trained model can be exported to."""

    saved_model = "saved_model"
    frozen_graph = "frozen_graph"
    litert = "litert"
    litert_float16 = "litert_float16"
    litert_dynamic = "litert_dynamic"
    litert_int8 = "litert_int8"
    onnx = "onnx"


EIGHT_BITS = (Format.litert_dynamic, Format.litert_int8)
"""Formats whose weights are rounded to 8 bits."""

LITERT = (Format.litert, Format.litert_float16, Format.litert_dynamic, Format.litert_int8)

FILES = {
    Format.saved_model: "saved_model",
    Format.frozen_graph: "frozen_graph.pb",
    Format.litert: "model.tflite",
    Format.litert_float16: "model_float16.tflite",
    Format.litert_dynamic: "model_dynamic.tflite",
    Format.litert_int8: "model_int8.tflite",
    Format.onnx: "model.onnx",
}
"""The name of each format inside the export's folder; the first is a folder."""

DESCRIPTION = "model.json"
"""The description next to a model that is a file: see `slimline.stages.models.description`."""

EVALUATED_MODEL, EVALUATED_GRAPH = f"{LOGS}/saved_model", "frozen.pb"
"""In evaluate's artifact: the SavedModel that was measured, and its frozen network. Exports start from these.

No two SavedModels have the same bytes (functions are numbered, a fingerprint is random), so it is in the folder that
isn't part of the content digest.
"""

SUFFIXES = {".pb": Format.frozen_graph, ".tflite": Format.litert, ".onnx": Format.onnx}


def find_model(model: str, key: str) -> Path:
    """Return the file or folder of an exported model: of a run (`runs/flowers/latest`), of an export, or itself.

    `key` is the setting's name, for the error.

    Raises:
        UserError: no exported model was found.
    """
    root = Path(model).expanduser()
    for folder in (root / "artifacts/export", root):
        for name in FILES.values():
            if (folder / name).exists():
                return folder / name
    if (root / "saved_model.pb").is_file() or (root.is_file() and root.suffix in SUFFIXES):
        return root
    raise UserError(
        f"{key}={model} contains no exported model.",
        "Choose a run with an exported model, such as runs/flowers/latest, a SavedModel's folder, or a file that ends"
        f" in {', '.join(SUFFIXES)} and has its {DESCRIPTION} next to it.",
    )


def format_of(path: Path) -> Format:
    """Return the format of a file or folder, by its name.

    Raises:
        UserError: it is not a known format.
    """
    if (path / "saved_model.pb").is_file():
        return Format.saved_model
    if path.suffix not in SUFFIXES or not path.is_file():
        raise UserError(
            f"{path} is not an exported model.",
            f"Choose a SavedModel's folder or a file that ends in {', '.join(SUFFIXES)}.",
        )
    return SUFFIXES[path.suffix]
