"""Inputs of a kept artifact: where they are, when only the artifact's own folder is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slimline.pipeline.artifact import RECORD, Artifact, read_artifact


def find_input(artifact: Artifact, name: str) -> Path | None:
    """Return the folder of the input `name` that an artifact was made from, or None if it is not found.

    A run links its artifacts next to each other, and a store keeps them as `<stage>/<key>/<generation>`. Both are
    searched for the content digest that the artifact's record has. So runs and stores can be moved or copied, and
    another artifact of the same stage is never taken for the input.
    """
    digest = artifact.parts["inputs"][name]
    return next((path for path in _places(artifact.path, name) if read_artifact(path, 0).digest == digest), None)


def _places(folder: Path, name: str) -> Iterator[Path]:
    if (folder.parent / name / RECORD).is_file():
        yield folder.parent / name
    store = folder.resolve().parents[2:3]
    for path in sorted((store[0] / name).glob(f"*/*/{RECORD}")) if store else ():
        yield path.parent
