"""Ingest: files that are written, photos that are left out and why."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.pipeline.artifact import content_digest
from slimline.pipeline.errors import Undecided, UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.config import Fallback, FlowersConfig, IngestConfig, Origin
from slimline.stages.data.settle import settle_source
from slimline.stages.data.storing.pictures import Role, read_pictures
from slimline.stages.data.storing.records import shard_paths
from slimline.stages.ingest import ingest


def picture(seed: int, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, label in enumerate(("ant", "bee")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for index in range(12):
            (tmp_path / "photos" / label / f"{index}.jpg").write_bytes(picture(100 * number + index))
    return tmp_path / "photos"


def run(folder: Path, out: Path, **settings):
    out.mkdir()
    facts = ingest(settle_source(IngestConfig(images=str(folder), seed=0, **settings), False), out)
    return facts, pq.read_table(out / "index.parquet").to_pylist()


def examples(out: Path, split: str):
    for path in shard_paths(out, split):
        for record in tf.data.TFRecordDataset(str(path)):
            yield tf.train.Example.FromString(record.numpy()).features.feature


def test_records_hold_the_zoos_keys_and_the_unchanged_bytes(folder, tmp_path):
    run(folder, tmp_path / "out")
    found = [example for split in ("train", "validation", "test") for example in examples(tmp_path / "out", split)]
    assert len(found) == 24
    for example in found:
        encoded = example["image/encoded"].bytes_list.value[0]
        name = example["image/filename"].bytes_list.value[0].decode()
        assert encoded == (folder / name).read_bytes()
        assert example["image/format"].bytes_list.value[0] == b"jpeg"
        assert example["image/class/text"].bytes_list.value[0].decode() == Path(name).parent.name
        assert example["image/class/label"].int64_list.value[0] == ["ant", "bee"].index(Path(name).parent.name)
        assert (example["image/height"].int64_list.value[0], example["image/width"].int64_list.value[0]) == (24, 32)
        assert example["image/key/sha256"].bytes_list.value[0].decode() == hashlib.sha256(encoded).hexdigest()
    assert (tmp_path / "out" / "labels.txt").read_text() == "ant\nbee\n"


def test_every_photo_has_a_row_with_its_split_and_shard(folder, tmp_path):
    facts, rows = run(folder, tmp_path / "out")
    assert facts["photos"] == len(rows) == 24
    assert facts["train"] + facts["validation"] + facts["test"] == 24
    for row in rows:
        assert (tmp_path / "out" / row["shard"]).name.startswith(f"{row['split']}-")
    for split in ("train", "validation", "test"):
        assert {row["label"] for row in rows if row["split"] == split} == {"ant", "bee"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not an image", "it is text, not an image"),
        (picture(7)[:-300], "can't be decoded: truncated or damaged"),
    ],
)
def test_unusable_photos_are_left_out_with_the_reason(folder, tmp_path, content, reason):
    (folder / "ant" / "bad.jpg").write_bytes(content)
    facts, rows = run(folder, tmp_path / "out")
    [bad] = [row for row in rows if row["outcome"] != "used"]
    assert (bad["path"], bad["outcome"]) == ("ant/bad.jpg", "quarantined")
    assert reason in bad["reason"]
    assert (bad["split"], bad["shard"]) == (None, None)
    assert (facts["photos"], facts["quarantined"]) == (24, 1)


def test_too_many_bad_photos_are_an_error_with_examples(folder, tmp_path):
    for index in range(4):
        (folder / "bee" / f"bad{index}.jpg").write_bytes(b"no")
    with pytest.raises(UserError, match=r"4 of 28 .*\n.*bee/bad0.jpg"):
        run(folder, tmp_path / "out")
    assert run(folder, tmp_path / "again", max_bad_fraction=0.2)[0]["quarantined"] == 4


def test_the_same_photos_give_the_same_bytes(folder, tmp_path):
    one, _ = run(folder, tmp_path / "one")
    two, _ = run(folder, tmp_path / "two", threads=1)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert content_digest(tmp_path / "one", one) == content_digest(tmp_path / "two", two)


def test_it_writes_pictures_and_no_page(folder, tmp_path):
    (folder / "ant" / "bad.jpg").write_bytes(picture(7)[:-300])
    _, rows = run(folder, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".tfrecord"}
    assert names == {"index.parquet", "twins.parquet", "labels.txt", "pictures.arrow"}
    found = read_pictures(tmp_path / "out")
    assert {one.role for one in found} == {Role.example}
    assert [rows[one.row]["label"] for one in found] == ["ant"] * 8 + ["bee"] * 8
    for one in found:
        shown = np.asarray(Image.open(io.BytesIO(one.jpeg)), np.int16)
        photo = np.asarray(Image.open(folder / rows[one.row]["path"]), np.int16)
        assert np.abs(shown - photo).mean() < 10, rows[one.row]["path"]


def test_png_gif_and_bmp_are_used_and_named(folder, tmp_path):
    for seed, kind in enumerate(("PNG", "GIF", "BMP")):
        (folder / "ant" / f"extra.{kind.lower()}").write_bytes(picture(50 + seed, kind))
    facts, _ = run(folder, tmp_path / "out")
    assert facts["photos"] == 27
    found = {
        e["image/format"].bytes_list.value[0]
        for s in ("train", "validation", "test")
        for e in examples(tmp_path / "out", s)
    }
    assert found == {b"jpeg", b"png", b"gif", b"bmp"}


def test_sources_that_cannot_be_trained_on_are_refused_before_any_work(tmp_path):
    for make, message in (
        (lambda root: None, "holds no photos"),
        (lambda root: _class(root, "ant", 5), "one class only, 'ant'"),
        (lambda root: (_class(root, "ant", 5), _class(root, "bee", 2)), r"too few photos of: bee \(2\)"),
    ):
        root = tmp_path / str(abs(hash(message)))
        root.mkdir()
        make(root)
        with pytest.raises(UserError, match=message):
            settle_source(IngestConfig(images=str(root), seed=0), False)
    with pytest.raises(UserError, match="does not exist"):
        settle_source(IngestConfig(images=str(tmp_path / "nowhere"), seed=0), False)


def _class(root: Path, label: str, count: int) -> None:
    (root / label).mkdir()
    for index in range(count):
        (root / label / f"{index}.JPG").write_bytes(picture(index))


def test_flowers_use_given_photos_first_then_the_local_folder(folder, tmp_path):
    given = settle_source(FlowersConfig(images=str(folder), seed=0), False)
    there = settle_source(FlowersConfig(data=str(folder), seed=0), False)
    assert (given.images, given.origin) == (there.images, there.origin) == (str(folder), Origin.photos)


def test_unreachable_flowers_are_drawn_or_an_error(tmp_path, monkeypatch, caplog):
    from slimline.stages.data.sources import flower_photos
    from slimline.stages.fetching.download import Unreachable

    def unreachable(folder):
        raise Unreachable("no answer")

    monkeypatch.setattr(flower_photos, "fetch_flower_photos", unreachable)
    settled = settle_source(FlowersConfig(data=str(tmp_path / "none"), seed=0), False)
    assert settled.origin is Origin.drawn
    assert "drawn by the program" in caplog.text
    with pytest.raises(UserError, match="The flower photos can't be downloaded: no answer"):
        settle_source(FlowersConfig(data=str(tmp_path / "none"), fallback=Fallback.none, seed=0), False)


def test_a_damaged_download_is_never_a_fallback(tmp_path, monkeypatch):
    from slimline.stages.data.sources import flower_photos

    def damaged(folder):
        raise UserError("the file was altered")

    monkeypatch.setattr(flower_photos, "fetch_flower_photos", damaged)
    with pytest.raises(UserError, match="altered"):
        settle_source(FlowersConfig(data=str(tmp_path / "none"), seed=0), False)


def test_a_plan_never_touches_the_network(tmp_path, monkeypatch):
    from slimline.stages.data.sources import flower_photos

    monkeypatch.setattr(flower_photos, "fetch_flower_photos", lambda folder: pytest.fail("it tried"))
    with pytest.raises(Undecided, match="would be downloaded, else drawn"):
        settle_source(FlowersConfig(data=str(tmp_path / "none"), seed=0), True)
