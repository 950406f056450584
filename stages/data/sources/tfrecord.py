"""TFRecords in the TF-Slim zoo's schema: those of its conversion scripts, of ImageNet, and of Slimline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from slimline.pipeline.content import files_below
from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.sources.kinds import GZIP, is_record_name
from slimline.stages.data.sources.photo import Listing, Photo
from slimline.stages.data.sources.split_names import splits_of_files
from slimline.stages.images.faults import Fault

HEADER_BYTES, FOOTER_BYTES = 12, 4


class Labels(NamedTuple):
    """Content of `labels.txt`: names by number; `numbered` is true if each line states its number (0:daisy).

    `found` are the numbers of the classes found so far, by name.
    """

    names: dict[int, str]
    numbered: bool
    found: dict[str, int]


def record_files(root: Path) -> list[Path]:
    """List the TFRecord files below a folder, or a TFRecord file itself."""
    return [root] if root.is_file() else [path for path in files_below(root) if is_record_name(path.name)]


def list_tfrecords(asked: Listing) -> Iterator[Photo]:
    """List the photos in TFRecord files, plain or compressed by gzip: `image/encoded`, with its class.

    The class is `image/class/text`, else the name of `image/class/label` in a folder's `labels.txt`, else that number.
    If the lines of `labels.txt` state their numbers, its names take precedence. The split is read from the files'
    names, as in `flowers_train_00000-of-00005.tfrecord`.

    Raises:
        UserError: a record is not such an example.
    """
    paths = record_files(asked.root)
    names = ["" if path == asked.root else path.relative_to(asked.root).as_posix() for path in paths]
    labels = _read_labels(asked.root / "labels.txt")
    for path, name, split in zip(paths, names, splits_of_files(names), strict=True):
        yield from _list_file(asked, path, Photo(name, "", str(path), split=split), labels)


def _list_file(asked: Listing, path: Path, place: Photo, labels: Labels) -> Iterator[Photo]:
    is_packed = _is_packed(path)
    records = iter(tf.data.TFRecordDataset(os.fsencode(path), "GZIP" if is_packed else ""))
    start = 0
    for number in range(1 << 62):
        try:
            record = next(records).numpy()
        except StopIteration:
            return
        except tf.errors.OpError:
            problem = f"the file is damaged here, at byte {start:,}; the rest can't be read"
            yield place._replace(path=f"{place.path}#{number}", problem=problem, fault=Fault.damaged)
            return
        photo, encoded = _photo(record, place._replace(path=f"{place.path}#{number}"), labels)
        photo = photo._replace(offset=photo.offset + start + HEADER_BYTES)
        if is_packed and not photo.problem:
            photo = asked.placed(photo, encoded)
        yield photo
        start += HEADER_BYTES + len(record) + FOOTER_BYTES


def _is_packed(path: Path) -> bool:
    """Return whether a file is compressed: it begins as a gzip file does, and not with a complete record.

    A plain file begins with its first record's length, and the length 559,903 begins as a gzip file does.
    """
    with path.open("rb") as file:
        if file.read(len(GZIP)) != GZIP:
            return False
    try:
        next(iter(tf.data.TFRecordDataset(os.fsencode(path))), None)
    except tf.errors.OpError:
        return True
    return False


def _photo(record: bytes, place: Photo, labels: Labels) -> tuple[Photo, bytes]:
    """Return a record's photo, its offset inside the record, and its bytes."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise UserError(
            f"{place.path} is not a tf.train.Example: {error}.", "Use TFRecords in the TF-Slim zoo's schema."
        ) from error
    encoded = features["image/encoded"].bytes_list.value if "image/encoded" in features else []
    if len(encoded) != 1:
        there = ", ".join(sorted(features))[:200] or "nothing"
        raise UserError(
            f"{place.path} has {len(encoded) or 'no'} image/encoded; it has: {there}.",
            "Use TFRecords in the TF-Slim zoo's schema: image/encoded (one JPEG or PNG), image/class/label,"
            " image/class/text.",
        )
    original = _first(features, "image/filename").decode("utf-8", "surrogateescape")
    photo = place._replace(
        path=f"{place.path} {original}".rstrip(),
        label=_label(features, labels, place.path),
        offset=record.find(encoded[0]),
        size=len(encoded[0]),
    )
    if not photo.label:
        problem = "it has neither image/class/text nor an image/class/label with a name"
        photo = photo._replace(problem=problem, fault=Fault.unlabeled)
    return photo, encoded[0]


def _label(features: Any, labels: Labels, where: str) -> str:
    """Return a class's name.

    Raises:
        UserError: another class has the same name, as ImageNet's two cranes do: a bird and a machine.
    """
    text = _first(features, "image/class/text").decode("utf-8", "backslashreplace")
    numbers = features["image/class/label"].int64_list.value if "image/class/label" in features else []
    if not numbers:
        return text
    number = numbers[0]
    name = labels.names.get(number, text) if labels.numbered else text or labels.names.get(number, "")
    name = name or ("" if labels.names or number < 0 else str(number))
    if name and labels.found.setdefault(name, number) != number:
        raise UserError(
            f"{where}: {name!r} is the name of two classes, number {labels.found[name]} and {number}.",
            f"Give them different names in a labels.txt next to the records, one line per class: {number}:another name",
        )
    return name


def _first(features: Any, key: str) -> bytes:
    values = features[key].bytes_list.value if key in features else []
    return bytes(values[0]) if values else b""


def _read_labels(path: Path) -> Labels:
    """Read the zoo's `labels.txt`: one line `0:daisy` per class, or the names alone, in order."""
    if not path.is_file():
        return Labels({}, False, {})
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} isn't UTF-8: {error}.", "Save it as UTF-8.") from error
    stated = [re.fullmatch(r"(\d+):(.*)", line.strip()) for line in lines if line.strip()]
    if stated and all(stated):
        return Labels({int(found.group(1)): found.group(2).strip() for found in stated if found}, True, {})
    return Labels({number: line.strip() for number, line in enumerate(lines)}, False, {})
