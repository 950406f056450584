"""Checkpoints by variable name, as in TF-Slim and TensorFlow 1; those of TensorFlow 2 can be read too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import TrackableObjectGraph, tf

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def write_checkpoint(prefix: Path, values: Mapping[str, Any]) -> None:
    """Write arrays or variables by name, as `<prefix>.index` and `<prefix>.data-00000-of-00001`."""
    names = sorted(values)
    tensors = [tf.convert_to_tensor(values[name]) for name in names]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)


def read_checkpoint(prefix: Path) -> dict[str, NDArray[Any]]:
    """Read every array of a checkpoint by its variable's name.

    TensorFlow 2 stores arrays by their place in the saved objects; the stored object graph has the names.

    Raises:
        UserError: the files are damaged, or some of them are missing.
    """
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        keys = reader.get_variable_to_shape_map()
        if OBJECT_GRAPH not in keys:
            return {name: np.asarray(reader.get_tensor(name)) for name in keys}
        graph = TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH))
        attributes = [attribute for node in graph.nodes for attribute in node.attributes]
        names = {attribute.checkpoint_key: attribute.full_name for attribute in attributes if attribute.full_name}
        return {names.get(key, key): np.asarray(reader.get_tensor(key)) for key in keys if key != OBJECT_GRAPH}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UserError(
            f"The checkpoint {prefix} can't be read: {str(error).splitlines()[0]}.",
            "Copy or download it again, with all of its files (.index and every .data-...).",
        ) from error
