"""What training measured: a table of epochs, as Parquet, and TensorBoard's files.

Summaries are built as protocol buffers, and an epoch's are written at once. TensorFlow 2.21 on two busy
cores, least of several: thirty epochs of six scalars take 12 ms so and 40 ms through `tf.summary.scalar`, a
histogram of 1.3 million weights 20 ms and 150 ms through `tf.summary.histogram`, and the first
`tf.summary.image` takes 0.1 s. `tensorboard.plugins.hparams.api` imports Keras, which takes a second; the
modules below it don't.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf

MOST_CLASSES_DRAWN = 60
"""With more, a confusion matrix is no longer to be read."""

MOST_CURVES = 20
HISTOGRAM_BINS = 30
HYPERPARAMETERS = "hyperparameters"
"""The folder inside the logs that TensorBoard takes for the session of its HParams tab."""


class History:
    """Collects what an image classifier's training measures, and writes it as it comes."""

    def __init__(self, logs: Path, labels: Sequence[str], rows: Sequence[Mapping[str, float | str]] = ()) -> None:
        """Open TensorBoard's files in the folder `logs`; `rows` are those of an interrupted training, taken up again.

        `labels` names the classes, in the order of their numbers.
        """
        self._started = time.time()
        self._logs, self._labels = logs, labels
        self._writer = tf.summary.create_file_writer(str(logs))
        self.rows: list[dict[str, float | str]] = [dict(row) for row in rows]

    def add(self, *, phase: str, epoch: int, **measures: float) -> None:
        """Add an epoch, counted from 1 over all phases: a row of the table, and a scalar for each measure.

        Raises:
            ValueError: the epoch doesn't come after the last one.
        """
        if epoch <= self._last_epoch():
            raise ValueError(f"epoch={epoch}: it must come after epoch {self._last_epoch()}, the last in the history.")
        numbers = {name: float(value) for name, value in measures.items()}
        self.rows.append({"phase": phase, "epoch": epoch, **numbers})
        self._put(_scalars(numbers), epoch)
        self._writer.flush()  # so that it shows while the next epoch runs, and outlives a crash

    def step(self, step: int, **measures: float) -> None:
        """Write measures of a step, counted over all phases: the scalars `step/<name>`."""
        self._put(_scalars({f"step/{name}": value for name, value in measures.items()}), step)

    def histograms(self, epoch: int, group: str, values: Mapping[str, Any]) -> None:
        """Write each named array's distribution, `<group>/<name>`, and its part of zeros, `sparsity/<group>/<name>`.

        Arrays may have any shape and type of number. Where some values are infinite or no number, the distribution
        is that of the others, and `not_finite/<group>/<name>` is their part.
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

    def images(self, epoch: int, images: Any) -> None:
        """Write examples of augmented images, [count, height, width, 3] float32 in [0, 1], as `augmented`."""
        pixels = np.rint(255 * np.clip(np.asarray(images), 0, 1)).astype(np.uint8)
        self._put(_pictures("augmented", pixels), epoch)

    def evaluation(self, epoch: int, targets: NDArray[np.int64], probabilities: NDArray[Any]) -> None:
        """Write the confusion matrix, as an image, and a precision-recall curve for each class against the rest.

        `targets` [count] are the true classes' numbers, `probabilities` [count, classes] floats in [0, 1]. With
        more than 60 classes there is no image, with more than 20 there are no curves.
        """
        classes = len(self._labels)
        if classes <= MOST_CLASSES_DRAWN:
            from slimline.stages.training.tensorboard_images import confusion_picture

            pairs = targets * classes + probabilities.argmax(axis=1)
            matrix = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
            picture = confusion_picture(matrix, self._labels)
            self._put(_pictures("confusion_matrix", picture[np.newaxis]), epoch)
        if classes <= MOST_CURVES:
            from tensorboard.plugins.pr_curve import summary as curves  # type: ignore[import-untyped]

            for number, label in enumerate(self._labels):
                is_class, score = targets == number, probabilities[:, number]
                curve = curves.pb(f"precision_recall/{label}", is_class, score, display_name=label)
                self._put(curve, epoch)

    def graph(self, function: Any) -> None:
        """Write the graph of a concrete function; TensorBoard shows the last one written."""
        with self._writer.as_default():
            tf.summary.graph(function.graph)

    def hyperparameters(self, values: Mapping[str, bool | float | str], metrics: Mapping[str, float]) -> None:
        """Write what the run was set to and how it ended, for TensorBoard's HParams tab.

        They lie in a folder of their own: the tab takes every scalar beside them for a metric, and shows the first
        five. Nor is an experiment declared, as the tab would heed one run's alone, and hide what others set.
        https://github.com/tensorflow/tensorboard/blob/2.21/tensorboard/plugins/hparams/backend_context.py
        """
        from tensorboard.plugins.hparams import api_pb2  # type: ignore[import-untyped]
        from tensorboard.plugins.hparams import summary as sessions

        writer = tf.summary.create_file_writer(str(self._logs / HYPERPARAMETERS))
        for summary in (
            sessions.session_start_pb(values, start_time_secs=self._started),
            _scalars(metrics),
            sessions.session_end_pb(api_pb2.STATUS_SUCCESS),
        ):
            _put(writer, summary, self._last_epoch())
        writer.close()

    def write(self, path: Path) -> None:
        """Write the table, one row an epoch, and close TensorBoard's files; what an epoch doesn't have is null."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._writer.close()
        columns = dict.fromkeys(name for row in self.rows for name in row)
        pq.write_table(pa.table({name: [row.get(name) for row in self.rows] for name in columns}), path)

    def _last_epoch(self) -> int:
        return int(self.rows[-1]["epoch"]) if self.rows else 0

    def _put(self, summary: Any, step: int) -> None:
        _put(self._writer, summary, step)


def _put(writer: Any, summary: Any, step: int) -> None:
    """Write a `Summary` protocol buffer."""
    with writer.as_default():
        tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)


def _scalars(values: Mapping[str, float]) -> Any:
    """Return a `Summary` of a scalar for each name."""
    summary = tf.compat.v1.Summary()
    for name, value in values.items():
        _add(summary, name, "scalars", np.float32(value))
    return summary


def _pictures(tag: str, images: NDArray[np.uint8]) -> Any:
    """Return a `Summary` of pictures [count, height, width, 3], in TensorBoard's form: width, height, then PNGs."""
    from PIL import Image

    height, width = images.shape[1:3]
    parts = [str(width).encode(), str(height).encode()]
    for image in images:
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, "PNG")
        parts.append(encoded.getvalue())
    summary = tf.compat.v1.Summary()
    _add(summary, tag, "images", np.array(parts, dtype=object))
    return summary


def _histogram(numbers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distribution of numbers [count] in TensorBoard's form: rows of left edge, right edge and count."""
    # In float32, NumPy refuses bins for numbers that are all but equal, such as scales after their first step.
    counts, edges = np.histogram(numbers.astype(np.float64), HISTOGRAM_BINS)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def _add(summary: Any, tag: str, plugin_name: str, value: Any) -> None:
    """Add an array to a `Summary`, for one of TensorBoard's plugins that want nothing but the array."""
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin_name)
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
    summary.value.add(tag=tag, metadata=metadata, tensor=tf.make_tensor_proto(value))


def _part(chosen: NDArray[np.bool_]) -> np.float32:
    return np.float32(np.count_nonzero(chosen) / max(1, chosen.size))
