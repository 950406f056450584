"""TFRecords of the zoo, of ImageNet's conversion, and of Slimline."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.sources.kinds import SourceKind
from tests.stages.data.sources.making import (
    CLASSES,
    check_rows,
    class_files,
    content,
    key_of,
    kind_of,
    labels,
    listing,
    photos,
    picture,
    problems,
    run,
    spooled,
    write,
)

PHOTO = picture(1)


def example(encoded: bytes | None = PHOTO, label: int | None = None, text: str = "", name: str = "", **more) -> bytes:
    values: dict[str, bytes | int] = {"image/format": b"jpeg", **more}
    if encoded is not None:
        values["image/encoded"] = encoded
    if label is not None:
        values["image/class/label"] = label
    if text:
        values["image/class/text"] = text.encode()
    if name:
        values["image/filename"] = name.encode()
    feature = {
        key: tf.train.Feature(
            **(
                {"bytes_list": tf.train.BytesList(value=[value])}
                if isinstance(value, bytes)
                else {"int64_list": tf.train.Int64List(value=[value])}
            )
        )
        for key, value in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def save(path: Path, records: list[bytes], compression: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(os.fsencode(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


NAMINGS = {
    "zoo": "flowers_{split}_{index:05d}-of-00002.tfrecord",
    "imagenet": "{split}-{index:05d}-of-00002",
    "kaggle": "{split}{index:02d}-24.tfrec",
}


def save_all(folder: Path, naming: str, compression: str = "", texts: bool = True) -> Path:
    """Write the 24 photos as two files for each split."""
    for split in ("train", "validation", "test"):
        own = [(label, encoded) for label, given, _, encoded in photos() if given == split]
        for index in range(2):
            records = [
                example(encoded, CLASSES.index(label), label if texts else "") for label, encoded in own[index::2]
            ]
            save(folder / naming.format(split=split, index=index), records, compression)
    return folder


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_records_are_ingested_with_the_splits_of_their_names(tmp_path: Path, naming: str, compression: str) -> None:
    folder = save_all(tmp_path / "in", NAMINGS[naming], compression)
    assert kind_of(folder) is SourceKind.tfrecord
    facts, rows = run(folder, tmp_path / "out")
    check_rows(rows)
    assert facts["split_by"] == "given"


@pytest.mark.parametrize("name", ["_train_", "_TRAIN-", "_test_tubes_train-"])
def test_the_last_word_for_a_split_counts(tmp_path: Path, name: str) -> None:
    for part in (name, name.lower().replace("train", "eval")):
        save(tmp_path / f"flowers{part}00000-of-00001.tfrecord", [example(label=0)])
    assert {photo.path.split("#")[0].lower(): photo.split for photo in listing(tmp_path)} == {
        f"flowers{name.lower()}00000-of-00001.tfrecord": "train",
        f"flowers{name.lower().replace('train', 'eval')}00000-of-00001.tfrecord": "test",
    }


LABELS = {
    "numbered": ("0:ant\n1:bee\n", {0: "ant", 1: "bee"}),
    "numbered, blank lines": ("1:bee\n\n0:ant\n\n", {0: "ant", 1: "bee"}),
    "names alone": ("ant\nbee\n", {0: "ant", 1: "bee"}),
    "windows": ("\ufeff0:ant\r\n1:bee\r\n", {0: "ant", 1: "bee"}),
    "from one": ("1:ant\n2:bee, wasp\n", {1: "ant", 2: "bee, wasp"}),
}


@pytest.mark.parametrize(("text", "names"), LABELS.values(), ids=LABELS)
def test_labels_txt_names_the_classes(tmp_path: Path, text: str, names: dict[int, str]) -> None:
    save(tmp_path / "a.tfrecord", [example(label=number) for number in names])
    (tmp_path / "labels.txt").write_bytes(text.encode())
    assert list(labels(listing(tmp_path)).values()) == list(names.values())


def test_labels_txt_of_another_encoding_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.tfrecord", [example(label=0)])
    (tmp_path / "labels.txt").write_bytes("0:Käfer".encode("latin-1"))
    with pytest.raises(UserError, match=r"labels.txt isn't UTF-8: .*\nSave it as UTF-8"):
        listing(tmp_path)


def test_a_class_is_its_text_else_its_labels_name_else_its_number(tmp_path: Path) -> None:
    records = [example(label=0, text="ant"), example(label=1), example(label=2), example(), example(text="cat")]
    save(tmp_path / "a.tfrecord", records)
    assert labels(listing(tmp_path)) == {
        "a.tfrecord#0": "ant",
        "a.tfrecord#1": "1",
        "a.tfrecord#2": "2",
        "a.tfrecord#4": "cat",
    }
    (tmp_path / "labels.txt").write_text("other\nbee\n")
    found = listing(tmp_path)
    assert labels(found) == {"a.tfrecord#0": "ant", "a.tfrecord#1": "bee", "a.tfrecord#4": "cat"}
    without = "it has neither image/class/text nor an image/class/label with a name"
    assert problems(found) == {"a.tfrecord#2": (without, False), "a.tfrecord#3": (without, False)}


def test_two_classes_of_one_name_are_refused_and_can_be_renamed(tmp_path: Path) -> None:
    save(tmp_path / "a.tfrecord", [example(label=135, text="crane"), example(label=518, text="crane")])
    with pytest.raises(UserError, match=r"'crane' is the name of two classes, number 135 and 518.\n.*labels.txt"):
        listing(tmp_path)
    (tmp_path / "labels.txt").write_text("135:crane, a bird\n518:crane, a machine\n")
    assert list(labels(listing(tmp_path)).values()) == ["crane, a bird", "crane, a machine"]


def test_bytes_are_at_the_stated_places(tmp_path: Path) -> None:
    records = [example(picture(number), number % 2, "x" * number, f"{number}.jpg") for number in range(9)]
    found = listing(save(tmp_path / "a.tfrecord", records))
    assert [content(photo) for photo in found] == [picture(number) for number in range(9)]
    assert found[3].path == "#3 3.jpg"
    assert {photo.file for photo in found} == {str(tmp_path / "a.tfrecord")}


def test_a_damaged_file_in_the_middle_loses_only_its_rest(tmp_path: Path) -> None:
    for index in range(3):
        records = [example(picture(10 * index + number), 0, "ant") for number in range(4)]
        save(tmp_path / f"a-{index:05d}-of-00003", records)
    path = tmp_path / "a-00001-of-00003"
    data = bytearray(path.read_bytes())
    second = 16 + len(example(picture(10), 0, "ant"))
    data[second + 100] ^= 0xFF
    path.write_bytes(data)
    found = listing(tmp_path)
    assert len(labels(found)) == 4 + 1 + 4
    problem = f"the file is damaged here, at byte {second:,}; the rest can't be read"
    assert problems(found) == {"a-00001-of-00003#1": (problem, False)}


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_truncated_file_has_a_row_that_says_so(tmp_path: Path, compression: str) -> None:
    path = save(tmp_path / "a.tfrecord", [example(picture(n), 0, "ant") for n in range(6)], compression)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = spooled(path, tmp_path)
    assert 1 <= len(labels(found)) < 6
    [(problem, _)] = problems(found).values()
    assert "the file is damaged here" in problem


def test_compressed_records_give_the_bytes_and_respect_the_limit(tmp_path: Path) -> None:
    records = [example(PHOTO, 0, "ant"), example(bytes(2_000_000), 1, "bee")]
    found = spooled(save(tmp_path / "a.tfrecord.gz", records, "GZIP"), tmp_path, most_bytes=1_000_000)
    assert content(found[0]) == PHOTO
    assert problems(found) == {"#1": ("2.0 MB are more than ingest.max_file_mb allows", False)}


def test_a_plain_file_that_begins_as_gzip_does_is_plain(tmp_path: Path) -> None:
    length = int.from_bytes(b"\x1f\x8b\x08", "little")
    padding = length - len(example(PHOTO, 0, "ant", pad=bytes(100_000))) + 100_000
    for slack in range(-9, 9):
        record = example(PHOTO, 0, "ant", pad=bytes(padding + slack))
        if len(record) == length:
            break
    path = save(tmp_path / "a.tfrecord", [record])
    assert path.read_bytes()[:3] == b"\x1f\x8b\x08"
    [photo] = listing(path)
    assert content(photo) == PHOTO


def test_records_of_another_schema_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tfrecord", [b"\xff\xff nonsense"])
    with pytest.raises(UserError, match=r"#0 is not a tf.train.Example: .*\nUse TFRecords in the TF-Slim zoo's schema"):
        listing(path)
    save(path, [example(None, 0, "ant", image=b"x")])
    with pytest.raises(UserError, match=r"#0 has no image/encoded; it has: image, image/class/label, .*\nUse"):
        listing(path)
    pair = tf.train.Feature(bytes_list=tf.train.BytesList(value=[PHOTO, PHOTO]))
    features = tf.train.Features(feature={"image/encoded": pair})
    save(path, [tf.train.Example(features=features).SerializeToString()])
    with pytest.raises(UserError, match="#0 has 2 image/encoded"):
        listing(path)


def test_an_empty_photo_is_listed(tmp_path: Path) -> None:
    [photo] = listing(save(tmp_path / "a.tfrecord", [example(b"", 0, "ant")]))
    assert content(photo) == b""


@pytest.mark.parametrize("name", ["日本.tfrecord", "a b.tfrecord", os.fsdecode(b"caf\xe9.tfrecord")])
def test_files_of_any_name_are_read(tmp_path: Path, name: str) -> None:
    [photo] = listing(save(tmp_path / name, [example(PHOTO, 0, "ant")]))
    assert (photo.label, content(photo)) == ("ant", PHOTO)


def test_slimlines_own_output_is_a_source(tmp_path: Path) -> None:
    _, before = run(write(tmp_path / "in", class_files()), tmp_path / "first")
    assert kind_of(tmp_path / "first") is SourceKind.tfrecord
    _, after = run(tmp_path / "first", tmp_path / "second")
    check_rows(after, "hash")
    assert {row["sha256"]: row["split"] for row in after} == {row["sha256"]: row["split"] for row in before}
    sources = {row["sha256"]: row["path"] for row in before}
    assert all(row["path"].endswith(f" {sources[row['sha256']]}") for row in after)


def test_files_next_to_a_single_file_are_ignored(tmp_path: Path) -> None:
    """They are not part of the key."""
    path = save(tmp_path / "a" / "train-0.tfrecord", [example(picture(n), n % 2) for n in range(6)])
    first, key = [photo[:2] for photo in listing(path)], key_of(path, tmp_path / "memory")
    (tmp_path / "a" / "labels.txt").write_text("0:cat\n1:dog\n")
    assert [photo[:2] for photo in listing(path)] == first
    moved = shutil.copy(path, tmp_path / "test.tfrecord")
    assert [photo[:2] for photo in listing(Path(moved))] == first
    assert key_of(moved, tmp_path / "memory") == key


def test_another_labels_txt_changes_the_key(tmp_path: Path) -> None:
    save_all(tmp_path / "in", NAMINGS["imagenet"], texts=False)
    (tmp_path / "in" / "labels.txt").write_text("0:ant\n1:bee\n")
    before = key_of(tmp_path / "in", tmp_path / "memory")
    (tmp_path / "in" / "labels.txt").write_text("0:bee\n1:ant\n")
    assert key_of(tmp_path / "in", tmp_path / "memory") != before
