"""Parquet files that hold the photos, as the Hugging Face hub has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.config import ColumnsConfig
from slimline.stages.data.sources.kinds import SourceKind
from tests.stages.data.sources.making import (
    CLASSES,
    GIVEN,
    check_rows,
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
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def save(path: Path, images: list[Any], classes: list[Any], names: Any = CLASSES, **others: Any) -> Path:
    """Write images, plain or as structs, with labels, and the classes' names in the schema's metadata."""
    plain = any(isinstance(image, bytes) for image in images)
    table = pa.table(
        {"image": pa.array(images, pa.binary() if plain else STRUCT), "label": pa.array(classes), **others}
    )
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=5)
    return path


def save_all(folder: Path) -> Path:
    """Write the 24 photos as the hub does: one or more files per split."""
    for split in ("train", "validation", "test"):
        own = [(label, number, encoded) for label, given, number, encoded in photos() if given == split]
        halves = [own[::2], own[1::2]] if split == "train" else [own]
        for index, half in enumerate(halves):
            save(
                folder / f"{split}-{index:05d}-of-{len(halves):05d}.parquet",
                [{"bytes": encoded, "path": f"{number}.jpg"} for _, number, encoded in half],
                [CLASSES.index(label) for label, _, _ in half],
            )
    return folder


@pytest.mark.parametrize("inside", [".", "data"])
def test_a_clone_from_the_hub_is_ingested_with_its_splits(tmp_path: Path, inside: str) -> None:
    save_all(tmp_path / "in" / inside)
    write(tmp_path / "in", {"README.md": b"hello", ".gitattributes": b"x"})
    assert kind_of(tmp_path / "in") is SourceKind.parquet
    facts, rows = run(tmp_path / "in", tmp_path / "out")
    check_rows(rows)
    assert facts["split_by"] == "given"
    assert any(row["path"].endswith("train-00001-of-00002.parquet#0 1.jpg") for row in rows)


def test_plain_bytes_groups_and_a_column_of_splits_are_ingested(tmp_path: Path) -> None:
    groups = [f"{index // 12} {split}" for index, (_, split, *_) in enumerate(photos())]
    path = save(
        tmp_path / "in.parquet",
        [encoded for *_, encoded in photos()],
        [label for label, *_ in photos()],
        names=None,
        split=pa.array([*GIVEN, *GIVEN]),
        group=pa.array(groups),
    )
    assert kind_of(path) is SourceKind.parquet
    _, rows = run(path, tmp_path / "out")
    check_rows(rows)
    assert [row["group"] for row in rows] == groups


def test_the_bytes_of_both_layouts_are_read(tmp_path: Path) -> None:
    for name, images in (("plain", [PHOTO] * 70), ("struct", [{"bytes": PHOTO, "path": None}] * 70)):
        found = spooled(save(tmp_path / f"{name}.parquet", images, [0, 1] * 35), tmp_path)
        assert [(photo.path, photo.label) for photo in found[-2:]] == [("#68", "ant"), ("#69", "bee")]
        assert all(content(photo) == PHOTO for photo in found)


def test_rows_without_bytes_or_label_are_bad_photos(tmp_path: Path) -> None:
    images = [{"bytes": PHOTO, "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None, *[{"bytes": PHOTO}] * 3]
    found = spooled(save(tmp_path / "in.parquet", images, [0, 1, 1, -1, None, 7]), tmp_path)
    assert labels(found) == {"#0 a.jpg": "ant"}
    assert problems(found) == {
        "#1 b.jpg": ("its row holds no bytes", False),
        "#2": ("its row holds no bytes", False),
        "#3": ("its label is -1, which the Hugging Face hub writes for 'no label'", False),
        "#4": ("its row has no label", False),
        "#5": ("its label is 7, a number without a name", False),
    }


def test_listing_alone_finds_the_same_labels(tmp_path: Path) -> None:
    path = save(tmp_path / "in.parquet", [PHOTO] * 3, [0, 1, -1])
    assert labels(listing(path)) == {"#0": "ant", "#1": "bee"}


def test_numbers_without_names_become_the_classes(tmp_path: Path) -> None:
    found = listing(save(tmp_path / "in.parquet", [PHOTO] * 3, [0, 7, -1], names=None))
    assert labels(found) == {"#0": "0", "#1": "7"}
    assert problems(found) == {"#2": ("its label is -1, which the Hugging Face hub writes for 'no label'", False)}


def test_group_zero_is_a_group(tmp_path: Path) -> None:
    path = save(tmp_path / "in.parquet", [PHOTO] * 3, [0, 1, 1], group=pa.array([0, 1, None]))
    assert [photo.group for photo in listing(path)] == ["0", "1", ""]


@pytest.mark.parametrize("metadata", [b"not json", b"[]", b"{}", b'{"info": null}', b'{"info": {"features": []}}'])
def test_metadata_of_another_shape_names_no_classes(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({"image": [PHOTO], "label": [1]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "in.parquet")
    assert labels(listing(tmp_path / "in.parquet")) == {"#0": "1"}


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "in.parquet", [PHOTO] * 2, [0, 1], split=pa.array(["train", "holdout"]))
    with pytest.raises(
        UserError, match=r"in.parquet, row 1: split='holdout' is not a valid split.\nThe splits are train"
    ):
        listing(path)


def test_missing_columns_are_refused_with_the_existing_ones(tmp_path: Path) -> None:
    table = pa.table({"img": [PHOTO], "fine_label": [1]})
    pq.write_table(table, tmp_path / "in.parquet")
    assert kind_of(tmp_path / "in.parquet") is SourceKind.parquet
    with pytest.raises(UserError, match=r"no column 'label'; it has: img, fine_label.\n.*ingest.columns.label="):
        listing(tmp_path / "in.parquet")
    with pytest.raises(UserError, match=r"no images in a column 'image'; it has: img, .*\n.*ingest.columns.image=img"):
        listing(tmp_path / "in.parquet", columns=ColumnsConfig(label="fine_label"))
    found = listing(tmp_path / "in.parquet", columns=ColumnsConfig(label="fine_label", image="img"))
    assert labels(found) == {"#0": "1"}


def test_a_column_of_text_holds_no_images(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a.jpg"], "label": [1]}), tmp_path / "in.parquet")
    with pytest.raises(UserError, match="no images in a column 'image'"):
        listing(tmp_path / "in.parquet", kind=SourceKind.parquet)


def test_a_damaged_file_among_others_is_refused(tmp_path: Path) -> None:
    save_all(tmp_path)
    damaged = tmp_path / "validation-00000-of-00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"validation-00000-of-00001.parquet can't be read as Parquet"):
        listing(tmp_path)


def test_damage_in_the_middle_of_a_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "in.parquet", [picture(number) for number in range(20)], [0, 1] * 10)
    data = bytearray(path.read_bytes())
    data[: len(data) - 2000] = b"PAR1" + bytes(len(data) - 2004)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"in.parquet can't be read as Parquet"):
        spooled(path, tmp_path)


def test_a_large_image_is_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "in.parquet", [bytes(2_000_000), PHOTO], [0, 1])
    found = spooled(path, tmp_path, most_bytes=1_000_000)
    assert problems(found) == {"#0": ("2.0 MB are more than ingest.max_file_mb allows", False)}
    assert content(found[1]) == PHOTO


def test_a_single_file_named_after_a_split_states_no_split(tmp_path: Path) -> None:
    path = save(tmp_path / "test.parquet", [PHOTO], [0])
    assert [(photo.split, photo.path) for photo in listing(path)] == [("", "#0")]
    save(tmp_path / "validation.parquet", [PHOTO], [0])
    assert {photo.split for photo in listing(tmp_path)} == {""}
    save(tmp_path / "test" / "train_0.parquet", [PHOTO], [0])
    assert sorted((photo.split, photo.path) for photo in listing(tmp_path)) == [
        ("test", "test.parquet#0"),
        ("train", "test/train_0.parquet#0"),
        ("validation", "validation.parquet#0"),
    ]


def test_the_name_of_a_single_file_decides_nothing(tmp_path: Path) -> None:
    """The name is not part of the key."""
    path = save(tmp_path / "train.parquet", [PHOTO] * 6, [0, 1] * 3)
    first, key = listing(path), key_of(path, tmp_path / "memory")
    path = path.rename(tmp_path / "patient-7-test.parquet")
    assert listing(path) == first
    assert key_of(path, tmp_path / "memory") == key


def test_a_table_next_to_class_folders_does_not_hold_the_photos(tmp_path: Path) -> None:
    write(tmp_path, {"ant/1.jpg": PHOTO, "bee/1.jpg": PHOTO})
    pq.write_table(pa.table({"path": ["ant/1.jpg"], "stars": [5]}), tmp_path / "ratings.parquet")
    assert kind_of(tmp_path) is SourceKind.folder
