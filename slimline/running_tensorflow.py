"""What a process that already runs TensorFlow has settled for Slimline too."""

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
"""Our own import of TensorFlow. Before it, a TensorFlow that is there was imported by someone else."""

_said = False


def check_running_tensorflow() -> None:
    """Say, once, which settings TensorFlow keeps because it was imported before Slimline could set them.

    Raises:
        UserError: eager execution is off, or NumPy behavior is on, with which Slimline can't work.
    """
    global _said
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is None:
        return
    if not tensorflow.executing_eagerly():
        raise UserError(
            "TensorFlow's eager execution is off here.",
            "Call Slimline outside of tf.Graph and tf.function, and without tf.compat.v1.disable_eager_execution().",
        )
    if hasattr(tensorflow.Tensor, "ravel"):  # there is no way to ask, nor to turn it off
        raise UserError(
            "TensorFlow's NumPy behavior is on in this process, under which operations take other types.",
            "Call Slimline in a process without tf.experimental.numpy.experimental_enable_numpy_behavior().",
        )
    if OURS in sys.modules or _said:
        return
    _said = True
    if kept := _kept(tensorflow):
        log.warning(
            "TensorFlow was running before Slimline, so it keeps %s. Results are right; speed and messages may differ.",
            ", ".join(kept),
        )


@contextmanager
def functions_as_graphs() -> Iterator[None]:
    """Have TensorFlow run each `tf.function` as a graph inside the block, whatever `run_functions_eagerly` was set to.

    Training takes gradients inside such a function, which TensorFlow refuses where it runs eagerly.
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
