"""Detection of the kind of source at a path, and paths that are refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources.kinds import SourceKind, lists_quickly
from slimline.stages.data.sources.table import SOURCES
from tests.stages.data.sources.making import class_files, kind_of, picture, write

PHOTO = picture(1)
NAMES = {
    "a.csv": SourceKind.manifest,
    "a.TSV": SourceKind.manifest,
    "a.jsonl": SourceKind.manifest,
    "a.ndjson": SourceKind.manifest,
    "a.zip": SourceKind.archive,
    "a.tar": SourceKind.archive,
    "a.tgz": SourceKind.archive,
    "a.tar.xz": SourceKind.archive,
    "a.tfrecord": SourceKind.tfrecord,
    "a.tfrecords": SourceKind.tfrecord,
    "a.tfrec": SourceKind.tfrecord,
    "a.record": SourceKind.tfrecord,
    "a.tfrecord.gz": SourceKind.tfrecord,
    "train-00000-of-01024": SourceKind.tfrecord,
    "flowers_train_00000-of-00005.tfrecord": SourceKind.tfrecord,
}


def test_each_kind_has_its_source() -> None:
    assert set(SOURCES) == set(SourceKind) - {SourceKind.auto}


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_a_files_name_states_its_kind(tmp_path: Path, name: str, kind: SourceKind) -> None:
    assert kind_of(write(tmp_path, {name: b"x"}) / name) is kind


def test_an_archive_of_another_name_is_recognized_by_its_content(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos", "w") as archive:
        archive.writestr("ant/1.jpg", PHOTO)
    with tarfile.open(tmp_path / "photos.gz", "w:gz") as packed:
        packed.addfile(tarfile.TarInfo("ant/1.jpg"), io.BytesIO(b""))
    assert kind_of(tmp_path / "photos") is kind_of(tmp_path / "photos.gz") is SourceKind.archive


def test_parquet_is_a_manifest_if_it_holds_only_paths(tmp_path: Path) -> None:
    struct = [{"bytes": PHOTO, "path": "a.jpg"}]
    tables = {
        "paths": ({"path": ["a.jpg"], "label": ["ant"]}, SourceKind.manifest),
        "images": ({"image": [PHOTO], "label": ["ant"]}, SourceKind.parquet),
        "structs": ({"image": struct, "label": ["ant"], "path": ["a.jpg"]}, SourceKind.parquet),
        "another": ({"img": struct, "label": ["ant"]}, SourceKind.parquet),
        "paths and more": ({"path": ["a.jpg"], "icon": [PHOTO]}, SourceKind.manifest),
        "texts": ({"image": ["a.jpg"], "label": ["ant"]}, SourceKind.manifest),
    }
    for name, (columns, kind) in tables.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        assert kind_of(tmp_path / f"{name}.parquet") is kind, name


FOLDERS = {
    "classes": (["ant/1.jpg", "bee/1.jpg", "README.md"], SourceKind.folder),
    "records": (["train-00000-of-00002", "labels.txt"], SourceKind.tfrecord),
    "prepared": (["dataset_info.json", "features.json", "x-train.tfrecord-00000-of-00001"], SourceKind.tfds),
    "records of a class": (["ant/a.tfrecord", "bee/1.jpg"], SourceKind.folder),
    "a folder named like records": (["a.tfrecord/1.jpg", "bee/1.jpg"], SourceKind.folder),
    "records in data": (["data/a.tfrecord", "bee/1.jpg"], SourceKind.folder),
    "hidden": ([".a.parquet", "bee/1.jpg"], SourceKind.folder),
    "empty": ([], SourceKind.folder),
}


@pytest.mark.parametrize(("names", "kind"), FOLDERS.values(), ids=FOLDERS)
def test_a_folders_content_states_its_kind(tmp_path: Path, names: list[str], kind: SourceKind) -> None:
    assert kind_of(write(tmp_path, dict.fromkeys(names, b"x"))) is kind


def test_a_file_of_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, {"photo.jpg": PHOTO})
    with pytest.raises(
        UserError, match=r"ingest.images=.*photo.jpg is not a known .*\nUse a folder .*\.csv.*TFRecords"
    ):
        kind_of(tmp_path / "photo.jpg")


def test_a_folder_without_read_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"can't be read: Permission denied.\nCheck the folder's permissions"):
        kind_of(tmp_path)


def test_which_sources_are_listed_without_reading_photos(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x")
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b")
    quick = {kind for kind in SOURCES if lists_quickly(kind, tmp_path / "a.tar")}
    assert quick == {SourceKind.folder, SourceKind.manifest, SourceKind.parquet, SourceKind.archive}
    assert not lists_quickly(SourceKind.archive, tmp_path / "a.tar.gz")


def test_the_kind_can_be_stated_and_the_checksum_checked(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", class_files())
    settled = settle_source(IngestConfig(images=str(folder), source=SourceKind.folder, seed=0), False)
    assert settled.source == SourceKind.folder
    with pytest.raises(UserError, match=r"doesn't match ingest.sha256=0"):
        settle_source(IngestConfig(images=str(folder), sha256="0" * 64, seed=0), False)


def test_a_source_that_cannot_be_trained_on_is_refused_before_any_work(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"ant/{number}.jpg", picture(number))
    with pytest.raises(UserError, match="holds one class only, 'ant'"):
        settle_source(IngestConfig(images=str(tmp_path / "a.zip"), seed=0), False)
