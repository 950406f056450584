"""What this machine computes fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FAST_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_fast_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16 faster than float32 (avx512_bf16 or AMX)."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return False
    flags = next((line for line in information.read_text().splitlines() if line.startswith("flags")), "")
    return bool(FAST_BFLOAT16_FLAGS & set(flags.split()))


def has_gpu() -> bool:
    """Say whether there is a GPU of the kind that TensorFlow runs on, by its driver (Linux)."""
    folder = Path("/proc/driver/nvidia/gpus")
    return folder.is_dir() and any(folder.iterdir())


@contextmanager
def bfloat16_rewriting(enabled: bool) -> Iterator[None]:
    """Have graphs that run inside the block rewritten to bfloat16 where it is safe; sums stay float32.

    TensorFlow's switch is global and counts at each call, so the block has to hold the calls; it is
    set back at the end. Source: grappler's auto_mixed_precision_onednn_bfloat16.
    """
    from stages.tensorflow import tf

    name = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(name, False)
    tf.config.optimizer.set_experimental_options({name: enabled})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})
