"""TensorFlow, imported quietly and without what this project never calls.

`import tensorflow` also imports Keras, and Keras imports scikit-learn, scipy and matplotlib: 2.6 of
6.7 s on two cores (TensorFlow 2.21, `python -X importtime`). TensorFlow goes on without Keras when it
isn't there, so it is hidden for the length of the import. With the garbage collector paused too, 3.3 s
are left. Everything imports TensorFlow through this module, which no module that a config is composed from
imports: composing never pays for it.
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
    """Make an optional package look as if it weren't installed, and pause the garbage collector.

    A package that is already imported is left alone.
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
    """Send what C++ code writes beside its own logging (the CUDA and oneDNN notes) nowhere."""
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
# TensorFlow turns oneDNN on only where a CPU multiplies bytes or bfloat16, and it is worth as much where there is but
# AVX2: features and fine-tuning of EfficientNet-Lite0 took half and two thirds of the time on an AMD EPYC (Zen 3).
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# scikit-learn sets these when it is imported, and it is imported while TensorFlow's threads compute and read the
# environment: a change beneath them is a crash (getenv isn't safe beside setenv; seen once, after 30 min of training).
for variable, value in {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}.items():
    os.environ.setdefault(variable, value)
with hidden("keras", "tf_keras"), quiet_stderr():
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

gc.freeze()  # a million objects that stay: the collector need not look at them again and again
# By default at each 700 new ones, of which tracing makes millions: that takes 0.3 of a run's 10 s of Python.
gc.set_threshold(10_000)
tf.get_logger().setLevel("ERROR")  # what goes wrong raises; the rest is chatter
logging.getLogger("absl").setLevel("ERROR")

__all__ = ["TrackableObjectGraph", "hidden", "quiet_stderr", "tf"]
