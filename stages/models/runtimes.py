"""Runtimes for exported models: preprocessed images in, logits out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import quiet_stderr, tf
from slimline.stages.models.formats import LITERT, Format
from slimline.stages.networks.graphs.folding import read_frozen

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A function from preprocessed images [batch, side, side, 3] float32 to logits [batch, classes]."""


def open_runtime(one: Format, path: Path) -> Run:
    """Load an exported file with its format's own runtime, on all cores.

    Raises:
        UserError: the runtime isn't installed.
    """
    if one is Format.saved_model:
        return _saved_model(path)
    if one is Format.frozen_graph:
        return _frozen_graph(path)
    return _litert(path) if one in LITERT else _onnx(path)


def _saved_model(path: Path) -> Run:
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["image"]
    return lambda images: signature(image=tf.constant(images))["logits"].numpy()


def _frozen_graph(path: Path) -> Run:
    function = read_frozen(path)
    return lambda images: function(tf.constant(images)).numpy()


def _litert(path: Path) -> Run:
    try:
        from ai_edge_litert.interpreter import Interpreter  # only for this format
    except ImportError as error:
        problem = f"{path.name} needs LiteRT, which isn't installed."
        raise UserError(problem, "Install it: pip install ai-edge-litert") from error
    with quiet_stderr():
        interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
    [given], [wanted] = interpreter.get_input_details(), interpreter.get_output_details()

    lock = Lock()  # an interpreter processes one image at a time

    def one(image: NDArray[np.float32]) -> NDArray[np.float32]:
        with lock:
            interpreter.set_tensor(given["index"], _quantized(image[None], given))
            interpreter.invoke()
            return _dequantized(interpreter.get_tensor(wanted["index"]), wanted)

    return lambda images: np.concatenate([one(image) for image in images])


def _quantized(values: NDArray[np.float32], tensor: dict[str, Any]) -> NDArray[Any]:
    """Convert values to a tensor's type. Source: https://ai.google.dev/edge/litert/models/quantization_spec"""
    scale, zero = tensor["quantization"]
    if not scale:
        return values
    limits = np.iinfo(tensor["dtype"])
    rounded: NDArray[Any] = np.clip(np.round(values / scale + zero), limits.min, limits.max).astype(tensor["dtype"])
    return rounded


def _dequantized(values: NDArray[Any], tensor: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values.copy()


def _onnx(path: Path) -> Run:
    try:
        import onnxruntime  # optional
    except ImportError as error:
        problem = f"{path.name} needs ONNX Runtime, which isn't installed."
        raise UserError(problem, "Install it: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    [given], [wanted] = session.get_inputs(), session.get_outputs()
    return lambda images: session.run([wanted.name], {given.name: images})[0]


def onnx_description(path: Path) -> str | None:
    """Return Slimline's description from an ONNX file's metadata, as JSON; None if it has none."""
    import onnxruntime  # optional

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: str | None = session.get_modelmeta().custom_metadata_map.get("slimline")
    return found
