"""Model formats: their names, their files, and the search for an exported model."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from slimline.pipeline.artifact import LOGS
from slimline.pipeline.errors import UserError
from slimline.stages.fetching.packages import distribution_name


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

RUNTIMES = {**dict.fromkeys(LITERT, ("ai_edge_litert",)), Format.onnx: ("onnxruntime",)}
"""The packages, besides TensorFlow, that run each format."""

CONVERTERS = {Format.onnx: ("tf2onnx", "onnx")}
"""The packages, besides TensorFlow, that write each format."""

DESCRIPTION = "model.json"
"""The description next to a model that is a file: see `slimline.stages.models.description`."""

TRAINING_PHOTOS = "training_photos.parquet"
"""The list of the photos that trained an exported model: see `slimline.stages.data.storing.training_photos`."""

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
        UserError: no exported model was found, or the packages that run it are not installed.
    """
    root = Path(model).expanduser()
    exported = [folder / name for folder in (root / "artifacts/export", root) for name in FILES.values()]
    own = (root / "saved_model.pb").is_file() or (root.is_file() and root.suffix in SUFFIXES)
    found = next((path for path in exported if path.exists()), root if own else None)
    if found:
        require_packages(f"{key}={model}", RUNTIMES.get(format_of(found), ()))
        return found
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


def require_packages(asked: str, packages: Iterable[str], *advice: str) -> None:
    """Check that packages are installed, without importing them.

    Raises:
        UserError: some are not; the message says that `asked` needs them, how to install them, and the `advice`.
    """
    missing = [distribution_name(one) for one in packages if importlib.util.find_spec(one) is None]
    if missing:
        raise UserError(
            f"{asked} needs packages that are not installed: {', '.join(missing)}.",
            f"Install them: pip install {' '.join(missing)}",
            *advice,
        )
