"""Checkpoints by variable name, as in TF-Slim and TensorFlow 1; those of TensorFlow 2 can be read too."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import TrackableObjectGraph, tf
from slimline.stages.networks.weights.parts import OTHERS
from slimline.stages.networks.weights.restore import some_names

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def write_checkpoint(prefix: Path, values: Mapping[str, Any], others: Collection[str] = ()) -> None:
    """Write arrays or variables by name, as `<prefix>.index` and `<prefix>.data-00000-of-00001`.

    If they are a part of a model, `others` names its other variables, which other checkpoints hold.
    """
    entries = {**values, **({OTHERS: sorted(others)} if others else {})}
    names = sorted(entries)
    tensors = [tf.convert_to_tensor(entries[name]) for name in names]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)


def read_checkpoint(prefix: Path, below: Sequence[Path] = ()) -> dict[str, NDArray[Any]]:
    """Read every variable of a model by name, sorted; `below` are the checkpoints that have what the first one lacks.

    A checkpoint that is a part of a model is joined with those in `below`, of which an earlier one replaces a later
    one. Variables that are not the model's, such as the ImageNet layer of a base under a head, are left out. A whole
    checkpoint is read alone.

    Raises:
        UserError: files are damaged or missing, or some of the model's variables are in none of the checkpoints.
    """
    values = _read(prefix)
    missing = _taken(values)
    for part in below if missing else ():
        found = _read(part)
        values.update({name: found[name] for name in missing & set(found)})
        missing -= set(found)
        if not missing:
            break
    if missing:
        raise UserError(
            f"The checkpoint {prefix} is a part of a model: it lacks {some_names(sorted(missing))}.",
            "Name the run that made it, which has all of them: base.weights=runs/flowers/v001",
        )
    return dict(sorted(values.items()))


def variable_names(prefix: Path) -> set[str]:
    """Return the names of the variables that a checkpoint written by `write_checkpoint` holds itself."""
    return set(tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()) - {OTHERS}


def _taken(values: dict[str, NDArray[Any]]) -> set[str]:
    """Take the list of a part's missing variables out of its values; empty for a whole checkpoint."""
    return {name.decode() for name in values.pop(OTHERS, ())}


def _read(prefix: Path) -> dict[str, NDArray[Any]]:
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
