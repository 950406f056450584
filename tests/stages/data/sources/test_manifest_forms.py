"""Manifests as people and programs write them: what can be read is read, and the rest has a row's own reason."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.config import ColumnsConfig
from slimline.stages.data.sources.manifest import files_named
from slimline.stages.data.sources.photo import Photo
from slimline.stages.images.faults import Fault
from tests.stages.data.sources.making import content, key_of, labels, listing, photos, picture, problems, write

PHOTO, OTHER = picture(1), picture(2)


def listed(folder: Path, text: str | bytes, name: str = "list.csv", **columns: str) -> list[Photo]:
    encoded = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return listing(write(folder, {name: encoded}) / name, columns=ColumnsConfig(**columns))


@pytest.mark.parametrize(
    ("written", "on_disk"),
    [
        ("pics/a.jpg ", "pics/a.jpg"),
        ("pics\\a.jpg", "pics/a.jpg"),
        (".\\pics\\a.jpg ", "pics/a.jpg"),
        ("file:pics/a.jpg", "pics/a.jpg"),
        ("file://pics/a.jpg", "pics/a.jpg"),
        ("café.jpg", unicodedata.normalize("NFD", "café.jpg")),
        (unicodedata.normalize("NFD", "café.jpg"), "café.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), "café.jpg"),
    ],
)
def test_a_path_is_read_as_the_one_file_that_it_can_mean(tmp_path: Path, written: str, on_disk: str) -> None:
    write(tmp_path, {on_disk: PHOTO})
    [photo] = listed(tmp_path, f"path,label\n{written},ant\n")
    assert (photo.problem, content(photo)) == ("", PHOTO)
    assert list(files_named(tmp_path / "list.csv", ColumnsConfig())) == [tmp_path / on_disk]


@pytest.mark.parametrize("name", ["a.jpg", "a b.jpg", "ü, ö.jpg", "100%.jpg", "a%20b.jpg", "a#1?.jpg"])
@pytest.mark.parametrize("start", ["file://", "file://localhost", "FILE://", "file:"])
def test_file_urls_name_local_files(tmp_path: Path, name: str, start: str) -> None:
    write(tmp_path, {name: PHOTO})
    for path in (quote(str(tmp_path / name)), str(tmp_path / name)):
        [photo] = listed(tmp_path, json.dumps({"path": f"{start}{path}", "label": "ant"}), "list.jsonl")
        assert (photo.problem, content(photo)) == ("", PHOTO)


def test_the_literal_name_takes_precedence(tmp_path: Path) -> None:
    write(tmp_path, {"pics\\a.jpg": PHOTO, "pics/a.jpg": OTHER, " b.jpg": PHOTO, "b.jpg": OTHER})
    rows = [{"path": path, "label": "ant"} for path in ("pics\\a.jpg", "pics/a.jpg", " b.jpg", "b.jpg")]
    found = listed(tmp_path, "\n".join(map(json.dumps, rows)), "list.jsonl")
    assert [content(photo) for photo in found] == [PHOTO, OTHER, PHOTO, OTHER]


def test_a_windows_path_of_another_machine_keeps_its_name_in_the_reason(tmp_path: Path) -> None:
    [photo] = listed(tmp_path, "path,label\nC:\\Users\\me\\a.jpg,ant\n")
    assert photo.path == "C:\\Users\\me\\a.jpg"
    with pytest.raises(FileNotFoundError):
        content(photo)


def test_names_of_photos_in_one_folder_next_to_the_manifest_are_found_there(tmp_path: Path) -> None:
    write(tmp_path, {"images/a.jpg": PHOTO, "images/b.jpg": OTHER, "docs/a.txt": b"", ".hidden/a.jpg": OTHER})
    found = listed(tmp_path, "path,label\nmissing.jpg,ant\na.jpg,ant\nb.jpg,bee\n")
    assert [content(photo) for photo in found[1:]] == [PHOTO, OTHER]
    assert list(files_named(tmp_path / "list.csv", ColumnsConfig()))[1:] == [
        tmp_path / "images/a.jpg",
        tmp_path / "images/b.jpg",
    ]
    write(tmp_path, {"more/a.jpg": OTHER})  # now there are two such folders
    assert [photo.file for photo in listed(tmp_path, "path,label\na.jpg,ant\n")] == [str(tmp_path / "a.jpg")]
    write(tmp_path, {"a.jpg": OTHER})
    assert [content(photo) for photo in listed(tmp_path, "path,label\na.jpg,ant\n")] == [OTHER]


def test_the_key_follows_the_photos_in_the_folder_next_to_the_manifest(tmp_path: Path) -> None:
    text = "path,label\n" + "".join(f"{label}{number}.jpg,{label}\n" for label, _, number, _ in photos())
    root = write(tmp_path / "in", {f"images/{label}{number}.jpg": data for label, _, number, data in photos()})
    write(root, {"list.csv": text.encode()})
    before = key_of(root / "list.csv", tmp_path / "memory")
    (root / "images" / "ant0.jpg").write_bytes(picture(999))
    assert key_of(root / "list.csv", tmp_path / "memory") != before


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.jpg,ant,\nb.jpg,bee,,\n",
        "path,label,\na.jpg,ant,\nb.jpg,bee,\n",
        "path,label\na.jpg,ant\nb.jpg,bee\n,\n,\n\n",
        " path , label \na.jpg , ant\nb.jpg, bee \n",
        '"path";"label"\r\n"a.jpg";"ant"\r\n"b.jpg";"bee"\r\n',
        "sep=;\r\npath;label\r\na.jpg;ant\r\nb.jpg;bee\r\n",
        "path\tlabel\na.jpg\tant\nb.jpg\tbee\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_as_spreadsheets_write_it_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    write(tmp_path, {"a.jpg": PHOTO, "b.jpg": PHOTO})
    assert labels(listed(tmp_path, text.encode(encoding))) == {"a.jpg": "ant", "b.jpg": "bee"}


def test_utf_16_that_breaks_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"list.csv is not valid UTF-16 text: .*\nSave it as UTF-8"):
        listed(tmp_path, "path,label\na.jpg,ant\n".encode("utf-16")[:-1])


@pytest.mark.parametrize(
    ("stated", "label"),
    [
        ("0.0", "0"),
        ("12.0", "12"),
        ("-1.0", "-1"),
        ("0.5", "0.5"),
        ("1.0.0", "1.0.0"),
        ("v1.0", "v1.0"),
        (" 3.0 ", "3"),
    ],
)
def test_integers_written_as_decimals_are_classes_of_integers(tmp_path: Path, stated: str, label: str) -> None:
    assert labels(listed(tmp_path, f"path,label\na.jpg,{stated}\n")) == {"a.jpg": label}
    row = json.dumps({"path": "a.jpg", "label": stated})
    assert labels(listed(tmp_path, row, "list.jsonl")) == {"a.jpg": label}


def test_a_row_with_too_many_columns_states_their_numbers(tmp_path: Path) -> None:
    found = listed(tmp_path, "path,label\na,1.jpg,ant\nb.jpg,bee,\n")
    assert problems(found) == {"a": ("row 1: 3 columns, expected 2", False)}
    assert found[0].fault is Fault.faulty_row


def test_minus_one_in_json_is_no_label_and_says_so(tmp_path: Path) -> None:
    [photo] = listed(tmp_path, '{"path": "a.jpg", "label": -1}', "list.jsonl")
    assert photo.problem == "row 1: its label is -1, which the Hugging Face hub writes for 'no label'"
    assert photo.fault is Fault.unlabeled


def refusal(folder: Path, text: str | bytes, name: str = "list.csv") -> str:
    with pytest.raises(UserError) as caught:
        listed(folder, text, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("image,class", "ingest.columns.path=image ingest.columns.label=class"),
        ("File Name,Species", "'ingest.columns.path=File Name' ingest.columns.label=Species"),
        ("id,file_name,label_id,category", "ingest.columns.path=file_name ingest.columns.label=category"),
        ("Path,label", "ingest.columns.path=Path"),
        ("a,b", "ingest.columns.path=... ingest.columns.label=..."),
    ],
)
def test_likely_columns_are_suggested_as_they_can_be_typed(tmp_path: Path, header: str, settings: str) -> None:
    assert refusal(tmp_path, f"{header}\n1,2,3,4\n").splitlines()[-1].endswith(f": {settings}")


def test_a_manifest_without_a_header_is_told_how_to_get_one(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    message = refusal(folder, "a.jpg,ant\nb.jpg,bee\n")
    command = message.splitlines()[1].partition("add a header: ")[2]
    assert os.system(command) == 0
    assert labels(listing(folder / "list-header.csv")) == {"a.jpg": "ant", "b.jpg": "bee"}


@pytest.mark.skipif(not shutil.which("iconv"), reason="iconv is not installed")
def test_the_command_that_is_shown_for_latin_1_makes_a_manifest_that_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "Bilder, it's"
    message = refusal(folder, "path,label\na.jpg,Käfer\n".encode("latin-1"))
    assert message.startswith(r"list.csv, row 1: label=K\xe4fer is not UTF-8.")
    assert os.system(message.partition("Latin-1: ")[2]) == 0
    assert labels(listing(folder / "list-utf8.csv")) == {"a.jpg": "Käfer"}
