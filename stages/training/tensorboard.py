"""TensorBoard logs.

Summaries are built as protocol buffers, and those of an epoch are written together, because this is faster. Measured
with TensorFlow 2.21 on two busy cores, minimum of several runs: thirty epochs of six scalars take 12 ms, and 40 ms
with `tf.summary.scalar`; a histogram of 1.3 million weights takes 20 ms, and 150 ms with `tf.summary.histogram`; the
first `tf.summary.image` takes 0.1 s. `tensorboard.plugins.hparams.api` imports Keras, which takes a second; the
modules that it uses do not.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.plugins.hparams import api_pb2  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import summary as sessions
from tensorboard.plugins.pr_curve import summary as precision_recall  # type: ignore[import-untyped]

from slimline.stages.backend.tensorflow import tf

MOST_CURVES = 20
HISTOGRAM_BINS = 30
HYPERPARAMETERS = "hyperparameters"
"""The folder inside the logs with the session for TensorBoard's HParams tab."""


class TensorBoard:
    """Writer of a training's TensorBoard logs."""

    def __init__(self, logs: Path) -> None:
        """Open the log files in the folder `logs`."""
        self._started = time.time()
        self._logs = logs
        self._writer = tf.summary.create_file_writer(str(logs))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write one scalar per name."""
        self._put(_scalars(values), step)

    def flush(self) -> None:
        """Flush all written summaries to disk."""
        self._writer.flush()

    def histograms(self, epoch: int, group: str, values: Mapping[str, Any]) -> None:
        """Write each array's histogram, `<group>/<name>`, and its fraction of zeros, `sparsity/<group>/<name>`.

        Arrays may have any shape and numeric type. If some values are NaN or infinite, the histogram is that of the
        other values, and `not_finite/<group>/<name>` is the fraction of the NaN or infinite ones.
        """
        summary = tf.compat.v1.Summary()
        for name, array in values.items():
            numbers = np.asarray(array).astype(np.float32, copy=False).ravel()
            finite = numbers[np.isfinite(numbers)]
            _add(summary, f"{group}/{name}", "histograms", _histogram(finite))
            _add(summary, f"sparsity/{group}/{name}", "scalars", _part(numbers == 0))
            if len(finite) < len(numbers):
                _add(summary, f"not_finite/{group}/{name}", "scalars", _part(~np.isfinite(numbers)))
        self._put(summary, epoch)

    def images(self, epoch: int, tag: str, images: NDArray[np.uint8]) -> None:
        """Write images [count, height, width, 3] in [0, 255]."""
        height, width = images.shape[1:3]
        parts = [str(width).encode(), str(height).encode()]  # TensorBoard's format: width, height, then PNGs
        for image in images:
            encoded = io.BytesIO()
            Image.fromarray(image).save(encoded, "PNG")
            parts.append(encoded.getvalue())
        summary = tf.compat.v1.Summary()
        _add(summary, tag, "images", np.array(parts, dtype=object))
        self._put(summary, epoch)

    def curves(
        self, epoch: int, labels: Sequence[str], targets: NDArray[np.int64], probabilities: NDArray[Any]
    ) -> None:
        """Write a one-vs-rest precision-recall curve for each class; nothing if there are over 20 classes.

        `labels` are the names of the classes, `targets` [count] the numbers of the true classes, and `probabilities`
        [count, classes] floats in [0, 1].
        """
        for number, label in enumerate(labels if len(labels) <= MOST_CURVES else ()):
            is_class, score = targets == number, probabilities[:, number]
            curve = precision_recall.pb(f"precision_recall/{label}", is_class, score, display_name=label)
            self._put(curve, epoch)

    def graph(self, function: Any) -> None:
        """Write the graph of a concrete function; TensorBoard shows the last one written."""
        with self._writer.as_default():
            tf.summary.graph(function.graph)

    def hyperparameters(
        self, epoch: int, values: Mapping[str, bool | float | str], metrics: Mapping[str, float]
    ) -> None:
        """Write the run's hyperparameters and final metrics for TensorBoard's HParams tab.

        They are stored in a separate folder, because the tab treats every scalar in the same folder as a metric, and
        shows the first five. No experiment is declared: the tab would use the declaration of one run only, and hide
        the hyperparameters that only other runs set.
        https://github.com/tensorflow/tensorboard/blob/2.21/tensorboard/plugins/hparams/backend_context.py
        """
        writer = tf.summary.create_file_writer(str(self._logs / HYPERPARAMETERS))
        for summary in (
            sessions.session_start_pb(values, start_time_secs=self._started),
            _scalars(metrics),
            sessions.session_end_pb(api_pb2.STATUS_SUCCESS),
        ):
            _put(writer, summary, epoch)
        writer.close()

    def close(self) -> None:
        """Close the files."""
        self._writer.close()

    def _put(self, summary: Any, step: int) -> None:
        _put(self._writer, summary, step)


def _put(writer: Any, summary: Any, step: int) -> None:
    """Write a `Summary` protocol buffer."""
    with writer.as_default():
        tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)


def _scalars(values: Mapping[str, float]) -> Any:
    """Return a `Summary` with one scalar per name."""
    summary = tf.compat.v1.Summary()
    for name, value in values.items():
        _add(summary, name, "scalars", np.float32(value))
    return summary


def _histogram(numbers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the histogram of numbers [count] in TensorBoard's format: rows of left edge, right edge and count."""
    # In float32, NumPy rejects bins for nearly equal numbers, such as the scales after their first step.
    counts, edges = np.histogram(numbers.astype(np.float64), HISTOGRAM_BINS)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def _add(summary: Any, tag: str, plugin_name: str, value: Any) -> None:
    """Add an array to a `Summary`, for a TensorBoard plugin that needs only the array."""
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin_name)
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
    summary.value.add(tag=tag, metadata=metadata, tensor=tf.make_tensor_proto(value))


def _part(chosen: NDArray[np.bool_]) -> np.float32:
    return np.float32(np.count_nonzero(chosen) / max(1, chosen.size))
