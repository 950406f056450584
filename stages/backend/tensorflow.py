"""TensorFlow, imported quietly and without packages that this project never calls.

`import tensorflow` also imports Keras, and Keras imports scikit-learn, scipy and matplotlib: 2.6 of
6.7 s on two cores (TensorFlow 2.21, `python -X importtime`). TensorFlow works without Keras, so Keras is
hidden during the import. With the garbage collector paused too, the import takes 3.3 s. All modules import
TensorFlow through this one. The modules that configs are composed from don't import it, so that composing a
config stays fast; a thread can import this module meanwhile.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import io
import logging
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
    """Discard what C++ code writes to stderr directly, without its logging (the CUDA and oneDNN notes).

    What other threads write to `sys.stderr` in the meantime is shown, such as the message of an error.
    """
    before = sys.stderr
    before.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    shown = _OtherThreads(before, saved) if _is_stderr(before) else before
    os.dup2(nowhere, 2)
    sys.stderr = shown
    try:
        yield
    finally:
        os.dup2(saved, 2)
        sys.stderr = before
        os.close(saved)
        os.close(nowhere)


class _OtherThreads(io.TextIOWrapper):
    """The error stream in the place of `stream`, on a copy of its descriptor, without what this thread writes."""

    def __init__(self, stream: Any, descriptor: int) -> None:
        raw = type(_raw(stream))(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(raw), stream.encoding, stream.errors, write_through=True)
        self._silent = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() == self._silent:
            return len(text)
        written = super().write(text)
        self.flush()
        return written


def _is_stderr(stream: Any) -> bool:
    """Return whether a stream writes to the descriptor that is redirected; a notebook's or a test's does not."""
    return isinstance(_raw(stream), io.FileIO) and stream.fileno() == 2


def _raw(stream: Any) -> Any:
    """Return the unbuffered file of a stream; with PYTHONUNBUFFERED a standard stream has no other."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _load_library() -> None:
    """Load TensorFlow's shared library, 1.1 GB, in 0.3 s in which other threads can run: an import would stop them.

    A failure is not reported here: the import that follows tries again and reports it.
    """
    specification = importlib.util.find_spec("tensorflow")
    if sys.platform != "linux" or specification is None or specification.origin is None:
        return
    load = ctypes.CDLL(None).dlopen
    load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        load(os.fsencode(Path(specification.origin).with_name(name)), os.RTLD_NOW)


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
    if "tensorflow" not in sys.modules:
        _load_library()
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

gc.freeze()  # a million permanent objects, which the collector doesn't have to scan again and again
# The default is 700 new objects, and tracing makes millions: that takes 0.3 of a run's 10 s of Python.
gc.set_threshold(10_000)
tf.get_logger().setLevel("ERROR")  # problems raise exceptions; the other messages aren't useful
logging.getLogger("absl").setLevel("ERROR")

__all__ = ["TrackableObjectGraph", "hidden", "quiet_stderr", "tf"]
