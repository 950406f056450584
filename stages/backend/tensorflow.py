"""TensorFlow, imported quietly and without packages that this project never calls.

`import tensorflow` also imports Keras, and Keras imports scikit-learn, scipy and matplotlib: 2.6 of
6.7 s on two cores (TensorFlow 2.21, `python -X importtime`). TensorFlow works without Keras, so Keras is
hidden during the import. With the garbage collector paused too, the import takes 3.3 s. All modules import
TensorFlow through this one. The modules that configs are composed from don't import it, so that composing a
config stays fast.
"""

from __future__ import annotations

import gc
import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Hide optional packages from imports, as if they weren't installed, and pause the garbage collector.

    Packages that are already imported are not hidden.
    """
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: "no such module"
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
        if collecting:
            gc.enable()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what C++ code writes to stderr directly, without its logging (the CUDA and oneDNN notes)."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow turns oneDNN on only for CPUs with int8 or bfloat16 instructions. It helps as much on CPUs with AVX2 only:
# features and fine-tuning of EfficientNet-Lite0 took half and two thirds of the time on an AMD EPYC (Zen 3).
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# scikit-learn sets these when it is imported, and that happens while TensorFlow's threads read the environment.
# setenv during getenv in another thread can crash the process (seen once, after 30 min of training).
for variable, value in {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}.items():
    os.environ.setdefault(variable, value)
with hidden("keras", "tf_keras"), quiet_stderr():
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

gc.freeze()  # a million permanent objects, which the collector doesn't have to scan again and again
# The default is 700 new objects, and tracing makes millions: that takes 0.3 of a run's 10 s of Python.
gc.set_threshold(10_000)
tf.get_logger().setLevel("ERROR")  # problems raise exceptions; the other messages aren't useful
logging.getLogger("absl").setLevel("ERROR")

__all__ = ["TrackableObjectGraph", "hidden", "quiet_stderr", "tf"]
