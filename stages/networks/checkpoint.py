"""Checkpoints by variable name, as TF-Slim and TensorFlow 1 write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.tensorflow import tf


def write_checkpoint(prefix: Path, values: Mapping[str, Any]) -> None:
    """Write arrays or variables by name, as `<prefix>.index` and `<prefix>.data-00000-of-00001`."""
    names = sorted(values)
    tensors = [tf.convert_to_tensor(values[name]) for name in names]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)


def read_checkpoint(prefix: Path) -> dict[str, NDArray[Any]]:
    """Read every array of a checkpoint by its variable's name."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}
