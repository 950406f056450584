"""Checkpoints that hold a part of a model: a head's or a training's, without the variables of what it was made from."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import RECORD, read_artifact
from slimline.pipeline.errors import UserError
from slimline.pipeline.inputs import find_input

OTHERS = "_VARIABLES_IN_OTHER_ARTIFACTS"
"""The entry of such a checkpoint that lists the model's other variables; a whole checkpoint has no such entry."""

MODEL, BEST, LAST = "model.ckpt", "best.ckpt", "last.ckpt"
"""Checkpoints in the artifacts of base and head, and those of train; the last one is completed by the best one."""

MADE_FROM = ("head", "base")
"""The artifacts that have the other variables: a training's are in its head, and a head's in its base."""


def index_of(prefix: Path) -> Path:
    """Return a checkpoint's file with the names of its variables."""
    return prefix.with_name(f"{prefix.name}.index")


def find_parts(prefix: Path, asked: str) -> list[Path]:
    """Return the checkpoints that hold a model together, beginning with `prefix`; a whole checkpoint is the only one.

    The variables of an earlier one replace those of a later one. `asked` is what the user named, for errors.

    Raises:
        UserError: the artifact that a part was made from was not found.
    """
    parts = [prefix]
    while is_part(parts[-1]):
        last = parts[-1].name == LAST and index_of(parts[-1].with_name(BEST)).is_file()
        parts.append(parts[-1].with_name(BEST) if last else _made_from(parts[-1].parent, asked) / MODEL)
    return parts


def is_part(prefix: Path) -> bool:
    """Return whether a checkpoint lacks variables of its model. This does not import TensorFlow."""
    index = index_of(prefix)
    return index.is_file() and OTHERS.encode() in index.read_bytes()  # names are not compressed in an index


def _made_from(folder: Path, asked: str) -> Path:
    """Return the folder of the artifact that has the variables which the checkpoint in `folder` lacks."""
    if not (folder / RECORD).is_file():
        raise _apart(asked, "It was copied without its run, so its other variables are missing.")
    artifact = read_artifact(folder, 0)
    name = next(name for name in MADE_FROM if name in artifact.parts["inputs"])
    found = find_input(artifact, name)
    if found is None:
        raise _apart(asked, f"The others are in its {name} artifact, which is neither next to it nor in its store.")
    return found


def _apart(asked: str, reason: str) -> UserError:
    return UserError(
        f"{asked} is a part of a model: the variables that a training changed, or those of a head. {reason}",
        "Name the run that made it, which has all of them: base.weights=runs/flowers/v001",
        "Or its exported model, which is one whole: base.weights=runs/flowers/v001/artifacts/export/saved_model",
    )
