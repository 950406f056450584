"""Weights that a user provides: a checkpoint, a Keras file, a SavedModel from Slimline, an earlier run."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import NamedTuple

from slimline.pipeline.artifact import canonical_json, digest_file, digest_text
from slimline.pipeline.errors import UserError
from slimline.stages.networks.weights.parts import BEST, MODEL, find_parts, index_of

RANDOM = "random"
IMAGENET = "imagenet"
SAVED_MODEL = "saved_model.pb"
KERAS = (".h5", ".hdf5")
ALLOWED = (
    "Choose imagenet, random, a TF-Slim or TensorFlow 1 checkpoint (model.ckpt, or its folder), a TensorFlow 2 "
    "checkpoint, a SavedModel that Slimline exported, a Keras file (.h5), or an earlier run (runs/flowers/v001).",
)
IN_A_RUN = (f"artifacts/train/{BEST}", f"artifacts/head/{MODEL}", f"artifacts/base/{MODEL}")
IN_AN_ARTIFACT = (BEST, MODEL)


class Given(NamedTuple):
    """The place and kind of weights: `kind` is checkpoint (`path` is its prefix), keras or saved_model (a folder)."""

    kind: str
    path: Path

    def parts(self) -> list[Path]:
        """Return the checkpoints that hold the weights together: see `find_parts`."""
        return find_parts(self.path, str(self.path))

    def digest(self) -> str:
        """Return the sha256 of the files' content, which doesn't depend on their names."""
        if self.kind == "saved_model":
            files = [self.path / SAVED_MODEL, *sorted((self.path / "variables").glob("variables.*"))]
            return digest_text(canonical_json({path.name: digest_file(path) for path in files}))
        if self.kind != "checkpoint" or not index_of(self.path).exists():
            return digest_file(self.path)
        first, *below = (_digest(part) for part in self.parts())
        return digest_text(canonical_json([first, *below])) if below else first


def find_given(key: str, text: str) -> Given:
    """Find the weights at a path; `key` is the setting's name, for errors.

    Raises:
        UserError: the path doesn't exist, or contains no weights, or only a part of a model's.
    """
    found = _find(key, text)
    if found.kind == "checkpoint":
        find_parts(found.path, f"{key}={text}")
    return found


def _find(key: str, text: str) -> Given:
    path = Path(re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", text)).expanduser().absolute()
    if index_of(path).is_file():
        if not _data_parts(path):
            raise UserError(f"{key}={text} has an .index file, but no .data file next to it.", "Copy both files.")
        return Given("checkpoint", path)
    if path.is_dir():
        return _in_folder(key, text, path)
    if not path.exists():
        raise UserError(f"{key}={text} doesn't exist (looked for {path} and {path.name}.index).", *ALLOWED)
    if ".ckpt" in path.name:  # TensorFlow's first format, one file, used in the zoo's archives of 2016
        return Given("checkpoint", path)
    if path.suffix.lower() in KERAS:
        return Given("keras", path)
    advice = {
        ".pb": f"Use a frozen graph as its own base: base=frozen_graph base.graph={text} ...",
        ".keras": "Save the model as HDF5: model.save('model.h5').",
        ".gz": "Unpack the archive and use the checkpoint inside.",
        ".tgz": "Unpack the archive and use the checkpoint inside.",
    }.get(path.suffix.lower())
    raise UserError(f"{key}={text} is not a supported file of weights.", *([advice] if advice else ALLOWED))


def _in_folder(key: str, text: str, folder: Path) -> Given:
    names = IN_A_RUN if (folder / "manifest.json").is_file() else IN_AN_ARTIFACT
    for name in names:
        if index_of(folder / name).is_file():
            return Given("checkpoint", folder / name)
    if (folder / SAVED_MODEL).is_file():
        return Given("saved_model", folder)
    if (folder / "checkpoint").is_file():
        found = re.search(r'^model_checkpoint_path:\s*"(.+)"', (folder / "checkpoint").read_text(), re.MULTILINE)
        if found and index_of(folder / found[1]).is_file():
            return Given("checkpoint", folder / found[1])
    prefixes = sorted(path.with_suffix("") for path in folder.glob("*.index"))
    if len(prefixes) == 1:
        return Given("checkpoint", prefixes[0])
    if prefixes:
        found_names = ", ".join(prefix.name for prefix in prefixes)
        raise UserError(f"{key}={text} contains {len(prefixes)} checkpoints.", f"Choose one of: {found_names}.")
    raise UserError(f"{key}={text} contains no weights.", *ALLOWED)


def _digest(prefix: Path) -> str:
    """Return the sha256 of a checkpoint's files."""
    files = [index_of(prefix), *_data_parts(prefix)]
    return digest_text(canonical_json({path.name.removeprefix(prefix.name): digest_file(path) for path in files}))


def _data_parts(prefix: Path) -> list[Path]:
    return sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*"))
