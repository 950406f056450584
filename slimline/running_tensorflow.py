"""Checks for a process that imported TensorFlow before Slimline: settings that can no longer be changed."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slimline.pipeline.errors import UserError

log = logging.getLogger(__name__)

OURS = "slimline.stages.backend.tensorflow"
"""Slimline's own import of TensorFlow. If TensorFlow is imported and this module is not, the application did it."""

_said = False


def check_running_tensorflow() -> None:
    """Log once which settings TensorFlow keeps because it was imported before Slimline could set them.

    Raises:
        UserError: eager execution is off, or NumPy behavior is on; Slimline cannot work with either.
    """
    global _said
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is None:
        return
    if not tensorflow.executing_eagerly():
        raise UserError(
            "TensorFlow's eager execution is off.",
            "Call Slimline outside of tf.Graph and tf.function, and without tf.compat.v1.disable_eager_execution().",
        )
    if hasattr(tensorflow.Tensor, "ravel"):  # TensorFlow has no function to query it or to turn it off
        raise UserError(
            "TensorFlow's NumPy behavior is on in this process. It changes the types of operations.",
            "Call Slimline in a process without tf.experimental.numpy.experimental_enable_numpy_behavior().",
        )
    if OURS in sys.modules or _said:
        return
    _said = True
    if kept := _kept(tensorflow):
        log.warning(
            "TensorFlow was imported before Slimline, so it keeps %s. Results are not affected; speed and log messages"
            " may differ.",
            ", ".join(kept),
        )


@contextmanager
def functions_as_graphs() -> Iterator[None]:
    """Make TensorFlow run each `tf.function` as a graph inside the block, also after `run_functions_eagerly(True)`.

    Training takes gradients inside such a function, which TensorFlow does not allow in eager mode.
    """
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is None or not tensorflow.config.functions_run_eagerly():
        yield
        return
    tensorflow.config.run_functions_eagerly(False)
    try:
        yield
    finally:
        tensorflow.config.run_functions_eagerly(True)


def _kept(tensorflow: Any) -> list[str]:
    wanted = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if platform.machine() in ("x86_64", "AMD64"):
        wanted["TF_ENABLE_ONEDNN_OPTS"] = "1"
    unset = {name: value for name, value in wanted.items() if name not in os.environ}
    threading = tensorflow.config.threading
    threads = {
        "within an operation": threading.get_intra_op_parallelism_threads(),
        "across operations": threading.get_inter_op_parallelism_threads(),
    }
    return [
        *(f"its default for {name} (Slimline sets {value})" for name, value in unset.items()),
        *(f"{count} threads {where} (Slimline uses all cores)" for where, count in threads.items() if count),
    ]
