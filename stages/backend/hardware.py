"""What this machine computes fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

FAST_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_fast_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16 faster than float32 (avx512_bf16 or AMX)."""
    return bool(FAST_BFLOAT16_FLAGS & _processor_flags())


def has_avx512() -> bool:
    """Say whether the processor computes with vectors of 512 bits, as far as is known (Linux)."""
    return "avx512f" in _processor_flags()


def _processor_flags() -> set[str]:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def has_gpu() -> bool:
    """Say whether there is a GPU of the kind that TensorFlow runs on, by its driver (Linux)."""
    folder = Path("/proc/driver/nvidia/gpus")
    return folder.is_dir() and any(folder.iterdir())


def bfloat16_rewriting(enabled: bool) -> AbstractContextManager[None]:
    """Have graphs that run inside the block rewritten to bfloat16 where it is safe; sums stay float32.

    Source: grappler's auto_mixed_precision_onednn_bfloat16.
    """
    return graph_option("auto_mixed_precision_onednn_bfloat16", enabled, usual=False)


@contextmanager
def graph_option(name: str, value: bool, *, usual: bool) -> Iterator[None]:
    """Set an option of TensorFlow's graph optimizer for the calls inside the block; `usual` is its own default.

    The options are global and count at each call, so the block has to hold the calls; it is set back at the end.
    """
    from slimline.stages.backend.tensorflow import tf  # here: what chooses by the hardware does without

    before = tf.config.optimizer.get_experimental_options().get(name, usual)
    tf.config.optimizer.set_experimental_options({name: value})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})
