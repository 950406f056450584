"""Hardware detection, and options of TensorFlow's graph optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

FAST_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_fast_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32 (avx512_bf16 or AMX)."""
    return bool(FAST_BFLOAT16_FLAGS & _processor_flags())


def has_avx512() -> bool:
    """Return whether the processor has 512-bit vector instructions (AVX-512); detected on Linux only."""
    return "avx512f" in _processor_flags()


def _processor_flags() -> set[str]:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def has_gpu() -> bool:
    """Return whether the driver of an NVIDIA GPU is loaded (Linux only)."""
    folder = Path("/proc/driver/nvidia/gpus")
    return folder.is_dir() and any(folder.iterdir())


def bfloat16_rewriting(enabled: bool) -> AbstractContextManager[None]:
    """Rewrite graphs that run inside the block to bfloat16 where that is safe; sums stay float32.

    Source: grappler's auto_mixed_precision_onednn_bfloat16.
    """
    return graph_option("auto_mixed_precision_onednn_bfloat16", enabled, usual=False)


@contextmanager
def graph_option(name: str, value: bool, *, usual: bool) -> Iterator[None]:
    """Set an option of TensorFlow's graph optimizer for the calls inside the block; `usual` is its own default.

    The options are global and are read at each call, so the calls must be inside the block. The option's old value
    is restored at the end.
    """
    from slimline.stages.backend.tensorflow import tf  # imported here: hardware detection doesn't need it

    before = tf.config.optimizer.get_experimental_options().get(name, usual)
    tf.config.optimizer.set_experimental_options({name: value})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})
