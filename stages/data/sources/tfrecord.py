"""TFRecords in the TF-Slim zoo's schema: those of its conversion scripts, ImageNet's, and Slimline's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.content import files_below
from pipeline.errors import UserError
from stages.data.sources.layout import split_named
from stages.data.sources.photo import Listing, Photo

NAMED = re.compile(r"\.tfrecords?$|\.record$|-\d{5}-of-\d{5}$")
HEADER_BYTES, FOOTER_BYTES = 12, 4


def is_record_name(name: str) -> bool:
    """Say whether a file is named as TFRecords are."""
    return NAMED.search(name.lower()) is not None


def record_files(root: Path) -> list[Path]:
    """List a TFRecord file, or those below a folder."""
    return [root] if root.is_file() else [path for path in files_below(root) if is_record_name(path.name)]


def list_tfrecords(asked: Listing) -> Iterator[Photo]:
    """List the photos in TFRecord files, `image/encoded` with `image/class/text` or a name from `labels.txt`.

    The split is read from the file's name, as in `flowers_train_00000-of-00005.tfrecord`.

    Raises:
        UserError: a record is no such example.
    """
    names = _read_labels(asked.root if asked.root.is_dir() else asked.root.parent)
    for path in record_files(asked.root):
        inside = path.name if path == asked.root else path.relative_to(asked.root).as_posix()
        words = re.split(r"[^a-z]+", path.name.lower())
        split = next((found for word in words if (found := split_named(word))), "")
        yield from _list_file(path, inside, split, names)


def _list_file(path: Path, inside: str, split: str, names: dict[int, str]) -> Iterator[Photo]:
    from stages.tensorflow import tf

    start = 0
    records = iter(tf.data.TFRecordDataset(str(path)))
    for number in range(1 << 62):
        try:
            record = next(records).numpy()
        except StopIteration:
            return
        except tf.errors.DataLossError:
            problem = f"the file is damaged here, at byte {start:,}; what follows can't be read"
            yield Photo(f"{inside}#{number}", "", split=split, problem=problem)
            return
        yield _photo(record, f"{inside}#{number}", path, start + HEADER_BYTES, split, names)
        start += HEADER_BYTES + len(record) + FOOTER_BYTES


def _photo(record: bytes, name: str, path: Path, start: int, split: str, names: dict[int, str]) -> Photo:
    from google.protobuf.message import DecodeError

    from stages.tensorflow import tf

    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise UserError(f"{name} is no tf.train.Example: {error}.", "Give TFRecords in the zoo's schema.") from error
    if "image/encoded" not in features:
        raise UserError(
            f"{name} has no image/encoded; it has: {', '.join(sorted(features))[:200] or 'nothing'}.",
            "Give TFRecords in the TF-Slim zoo's schema: image/encoded, image/class/label, image/class/text.",
        )
    [encoded] = features["image/encoded"].bytes_list.value or [b""]
    original = _first(features, "image/filename").decode("utf-8", "surrogateescape")
    photo = Photo(
        f"{name} {original}".rstrip(),
        _label(features, names),
        file=str(path),
        offset=start + record.find(encoded),
        size=len(encoded),
        split=split,
    )
    return photo if photo.label else photo._replace(problem="it has neither image/class/text nor image/class/label")


def _label(features: Any, names: dict[int, str]) -> str:
    if text := _first(features, "image/class/text").decode("utf-8", "backslashreplace"):
        return text
    numbers = features["image/class/label"].int64_list.value if "image/class/label" in features else []
    return names.get(numbers[0], str(numbers[0])) if numbers else ""


def _first(features: Any, key: str) -> bytes:
    values = features[key].bytes_list.value if key in features else []
    return bytes(values[0]) if values else b""


def _read_labels(folder: Path) -> dict[int, str]:
    """Read the zoo's `labels.txt`: a line `0:daisy` for each class, or the names alone, in order."""
    path = folder / "labels.txt"
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    stated = [re.fullmatch(r"(\d+):(.*)", line) for line in lines]
    if all(stated):
        return {int(found.group(1)): found.group(2) for found in stated if found}
    return dict(enumerate(lines))
