"""Manifests: CSV, JSON Lines and Parquet files that name photos, whose content is part of the key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.stages.data.sources.kinds import SourceKind
from tests.stages.data.sources.making import (
    check_rows,
    key_of,
    kind_of,
    photos,
    picture,
    run,
    write,
)

PHOTO = picture(1)


def huggingface(names: list[str], column: str = "label") -> dict[bytes, bytes]:
    features = {column: {"names": names, "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def write_manifest(root: Path, kind: str) -> Path:
    """Write 24 photos in one folder, and a manifest that states their labels, splits and groups."""
    rows: list[dict[str, Any]] = []
    for label, split, number, encoded in photos():
        name = f"photos/{label[0]}{number}.jpg"
        write(root, {name: encoded})
        rows.append({"path": name, "label": label, "split": split, "group": f"{split} {label} {number // 2}"})
    path = root / f"list.{kind}"
    if kind == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    elif kind == "parquet":
        table = pa.Table.from_pylist(rows)
        numbers = pa.array([("ant", "bee").index(row["label"]) for row in rows])
        table = table.set_column(1, "label", numbers).replace_schema_metadata(huggingface(["ant", "bee"]))
        pq.write_table(table, path)
    else:
        mark = {"csv": ",", "tsv": "\t"}[kind]
        path.write_text("\n".join(mark.join(cells) for cells in [tuple(rows[0]), *(row.values() for row in rows)]))
    return path


KINDS = ["csv", "tsv", "jsonl", "parquet"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_photo_of_a_manifest_is_ingested_with_its_split_and_group(tmp_path: Path, kind: str) -> None:
    path = write_manifest(tmp_path / "in", kind)
    assert kind_of(path) is SourceKind.manifest
    facts, rows = run(path, tmp_path / "out")
    check_rows(rows)
    assert facts["split_by"] == "given"
    assert [row["group"] for row in rows] == [f"{split} {label} {n // 2}" for label, split, n, _ in photos()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["another photo", "one less", "swapped", "the manifest"])
def test_a_change_in_the_photos_that_a_manifest_names_changes_the_key(tmp_path: Path, kind: str, change: str) -> None:
    path = write_manifest(tmp_path / "in", kind)
    memory = tmp_path / "memory"
    before = key_of(path, memory)
    assert key_of(path, memory) == before
    one, two = tmp_path / "in" / "photos" / "a3.jpg", tmp_path / "in" / "photos" / "b3.jpg"
    if change == "another photo":
        one.write_bytes(picture(999))
    elif change == "one less":
        one.unlink()
    elif change == "swapped":
        one.rename(tmp_path / "aside")
        two.rename(one)
        (tmp_path / "aside").rename(two)
    else:
        path = write_manifest(tmp_path / "other", kind)
        data = path.read_bytes()
        path.write_bytes(data + b"\n" if kind != "parquet" else data)
        if kind == "parquet":
            pq.write_table(pq.read_table(path).slice(0, 23), path)
    assert key_of(path, memory) != before


def test_which_of_two_photos_is_missing_is_part_of_the_key(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "in", "csv")
    one, two = tmp_path / "in" / "photos" / "a3.jpg", tmp_path / "in" / "photos" / "a4.jpg"
    two.unlink()
    before = key_of(path, tmp_path / "memory")
    one.rename(two)
    assert key_of(path, tmp_path / "memory") != before


def test_moving_a_manifest_with_its_photos_keeps_the_key(tmp_path: Path) -> None:
    before = key_of(write_manifest(tmp_path / "in", "csv"), tmp_path / "memory")
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    assert key_of(tmp_path / "elsewhere" / "list.csv", tmp_path / "memory") == before


def test_pipes_folders_and_invalid_names_in_a_manifest_are_quarantined(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "in", "jsonl")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    names = ["\ud800.jpg", "a\0.jpg", "pipe.jpg", "photos", "gone.jpg", "x" * 5000, "/dev/zero"]
    with path.open("a") as file:
        file.writelines(json.dumps({"path": name, "label": "ant"}) + "\n" for name in names)
    assert key_of(path, tmp_path / "memory")
    facts, rows = run(path, tmp_path / "out", max_bad_fraction=0.5)
    check_rows(rows[:24])
    assert facts["quarantined"] == len(names)
    reasons = {row["path"]: row["reason"] for row in rows[24:]}
    assert "it is not a file, but a folder, a pipe or a device" in reasons["pipe.jpg"]
    assert "it is not a file, but a folder, a pipe or a device" in reasons["photos"]
    assert "No such file" in reasons["gone.jpg"]
