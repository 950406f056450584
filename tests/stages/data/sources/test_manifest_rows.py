"""Rows of manifests: which notations are read, and which are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.config import ColumnsConfig
from slimline.stages.data.sources.manifest import files_named
from tests.stages.data.sources.making import (
    content,
    labels,
    listing,
    picture,
    problems,
    write,
)

PHOTO = picture(1)


def listed(tmp_path: Path, text: str | bytes, name: str = "list.csv", **columns: str):
    encoded = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return listing(write(tmp_path, {name: encoded}) / name, columns=ColumnsConfig(**columns))


def refused(tmp_path: Path, text: str | bytes, name: str = "list.csv", **columns: str) -> str:
    with pytest.raises(UserError) as caught:
        listed(tmp_path, text, name, **columns)
    return str(caught.value)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_of_any_kind_is_read(tmp_path: Path, mark: str, start: bytes, end: str) -> None:
    lines = [("path", "label", "split"), ("a/1.jpg", "ant", "train"), ('"b ""x""; 1,2.jpg"', "bee", "val")]
    found = listed(tmp_path, start + "".join(mark.join(line) + end for line in lines).encode())
    assert [(photo.path, photo.label, photo.split) for photo in found] == [
        ("a/1.jpg", "ant", "train"),
        ('b "x"; 1,2.jpg', "bee", "validation"),
    ]
    assert found[0].file == str(tmp_path / "a/1.jpg")


def test_paths_are_relative_to_the_manifest_or_absolute(tmp_path: Path) -> None:
    write(tmp_path, {"far/1.jpg": PHOTO, "in/2.jpg": PHOTO})
    text = f"path,label\n{tmp_path}/far/1.jpg,ant\n2.jpg,bee\n../far/1.jpg,bee\n"
    assert [content(photo) for photo in listed(tmp_path / "in", text)] == [PHOTO] * 3


def test_spaces_after_commas_and_around_labels_are_ignored(tmp_path: Path) -> None:
    assert labels(listed(tmp_path, 'path, label\n"a, b.jpg", ant \n c.jpg, "bee"\n')) == {
        "a, b.jpg": "ant",
        "c.jpg": "bee",
    }


def test_columns_of_other_names_are_read(tmp_path: Path) -> None:
    text = "file_name,species,fold,patient\n1.jpg,ant,test,7\n"
    [photo] = listed(tmp_path, text, path="file_name", label="species", split="fold", group="patient")
    assert (photo.path, photo.label, photo.split, photo.group) == ("1.jpg", "ant", "test", "7")


def test_a_row_without_a_path_or_a_label_is_a_bad_photo(tmp_path: Path) -> None:
    found = listed(tmp_path, "path,label,split\na.jpg,,train\n,ant,\nb.jpg\n\nc.jpg,bee,\n")
    assert labels(found) == {"c.jpg": "bee"}
    assert problems(found) == {
        "a.jpg": ("row 1 has no label", False),
        "row 2": ("row 2 has no path", False),
        "b.jpg": ("row 3 has no label", False),
    }
    found = listed(tmp_path, '{"path": "a.jpg", "label": null}\n{"label": "ant"}\n{"path": "b.jpg"}\n', "l.jsonl")
    assert [problem for problem, _ in problems(found).values()] == [
        "row 1 has no label",
        "row 2 has no path",
        "row 3 has no label",
    ]


def test_one_comma_too_many_does_not_change_the_label(tmp_path: Path) -> None:
    found = listed(tmp_path, "path,label\na,1.jpg,ant\nb.jpg,bee\n")
    assert labels(found) == {"b.jpg": "bee"}
    assert problems(found) == {"a": ("row 1: 3 columns, expected 2", False)}


def test_addresses_and_invalid_file_names_are_bad_photos(tmp_path: Path) -> None:
    text = '{"path": "https://host/1.jpg", "label": "ant"}\n{"path": "a\\u0000.jpg", "label": "ant"}\n'
    text += '{"path": "\\ud800.jpg", "label": "ant"}\n'
    found = listed(tmp_path, text, "list.jsonl")
    assert [photo.problem for photo in found] == [
        "an address, not a file: download the photos first",
        "not a valid file name",
        "not a valid file name",
    ]
    assert list(files_named(tmp_path / "list.jsonl", ColumnsConfig())) == [tmp_path] * 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("path,label,split\na.jpg,ant,\nb.jpg,bee,holdout\n", "list.csv"),
        ('{"path": "a.jpg", "label": "a"}\n{"path": "b.jpg", "label": "b", "split": "holdout"}\n', "list.jsonl"),
    ],
)
def test_an_unknown_split_is_refused_with_its_row_and_the_splits(tmp_path: Path, text: str, name: str) -> None:
    message = refused(tmp_path, text, name)
    assert f"{name}, row 2: split='holdout' is not a valid split." in message
    assert "train" in message and "validation" in message and "test" in message


def test_a_missing_column_is_refused_with_the_existing_ones(tmp_path: Path) -> None:
    message = refused(tmp_path, "file,label\na.jpg,ant\n")
    assert "list.csv has no column 'path'; it has: file, label." in message
    assert "ingest.columns.path=" in message
    assert "ingest.columns.label=" in refused(tmp_path, '{"path": "a.jpg"}\n', "list.jsonl")
    assert "it has: none" in refused(tmp_path, "")


def test_damaged_csv_is_refused_with_its_line(tmp_path: Path) -> None:
    message = refused(tmp_path, 'path,label\na.jpg,ant\n"b.jpg,bee\nc.jpg,bee\n')
    assert "list.csv, line 3, can't be read as CSV" in message


@pytest.mark.parametrize("line", ["{", "nonsense", '["a.jpg", "ant"]', "3", '{"path": "a"} x'])
def test_a_line_that_is_not_a_json_object_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    good = '{"path": "a.jpg", "label": "ant"}\n'
    message = refused(tmp_path, f"{good}\n{line}\n{good}", "list.jsonl")
    assert "list.jsonl, line 3, is not a JSON object" in message
    assert '{"path": "a.jpg", "label": "ant"}' in message


def test_a_list_of_labels_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, '{"path": "a.jpg", "label": ["ant", "bee"]}\n', "list.jsonl")
    assert "list.jsonl, row 1: label=['ant', 'bee'] is not a single value." in message


def test_text_in_another_encoding_is_refused_but_a_path_is_read_by_its_bytes(tmp_path: Path) -> None:
    message = refused(tmp_path, "path,label\na.jpg,ant\nb.jpg,Käfer\n".encode("latin-1"))
    assert r"list.csv, row 2: label=K\xe4fer is not UTF-8." in message
    assert "iconv -f WINDOWS-1252 -t UTF-8" in message
    name = os.fsdecode("Käfer.jpg".encode("latin-1"))
    write(tmp_path, {name: PHOTO})
    [photo] = listed(tmp_path, f"path,label\n{name},ant\n")
    assert content(photo) == PHOTO


@pytest.mark.parametrize("name", ["a b .jpg", "日本.jpg", "a\nb.jpg", " a.jpg", "%20.jpg"])
def test_photos_of_any_name_are_found(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: PHOTO})
    [photo] = listed(tmp_path, json.dumps({"path": name, "label": "ant"}), "list.jsonl")
    assert (photo.path, content(photo)) == (name, PHOTO)


def test_parquet_manifests_get_class_names_from_the_schema(tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"],
            "label": pa.array([0, 1, None, -1, 7], pa.int64()),
            "split": pa.array([1, 0, None, 0, 0], pa.int64()),
        }
    )
    features = {
        "label": {"names": ["ant", "bee"], "_type": "ClassLabel"},
        "split": {"names": ["train", "test"], "_type": "ClassLabel"},
    }
    stated = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(table.replace_schema_metadata(stated), tmp_path / "list.parquet")
    found = listing(tmp_path / "list.parquet")
    assert [(photo.path, photo.label, photo.split) for photo in found[:2]] == [
        ("a.jpg", "ant", "test"),
        ("b.jpg", "bee", "train"),
    ]
    assert problems(found) == {
        "c.jpg": ("row 3 has no label", False),
        "d.jpg": ("row 4: its label is -1, which the Hugging Face hub writes for 'no label'", False),
        "e.jpg": ("row 5: its label is 7, a number without a name", False),
    }


def test_floats_of_an_integer_column_with_missing_values_become_integers(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.jpg", "b.jpg", "c.jpg"], "label": [0.0, 1.0, float("nan")]})
    pq.write_table(table, tmp_path / "list.parquet")
    found = listing(tmp_path / "list.parquet")
    assert labels(found) == {"a.jpg": "0", "b.jpg": "1"}
    assert problems(found) == {"c.jpg": ("row 3 has no label", False)}


def test_a_damaged_parquet_manifest_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"list.parquet": b"PAR1" + bytes(50)})
    with pytest.raises(UserError, match=r"list.parquet can't be read as Parquet: .*\nUse a complete Parquet file"):
        listing(tmp_path / "list.parquet")
