"""What ingest leaves out is one plain line, also on later runs; what it only notes is in the index."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.pipeline.run_lines import stage_line
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.images import files
from slimline.stages.ingest import ingest
from tests.stages.data.checking.handmade import png, png_rows, save
from tests.stages.data.checking.usable import END, usable
from tests.stages.data.sources.making import class_files, picture, write


def run(root: Path, out: Path, **settings) -> tuple[dict, dict[str, dict]]:
    out.mkdir()
    memo = settings.pop("memo", None)
    config = settle_source(IngestConfig(images=str(root), seed=0, **settings), False)
    facts = ingest(config, out, memo=memo)
    return facts, {row["path"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}


def deep_png(brightest: int) -> bytes:
    """Encode random 16-bit values up to `brightest`."""
    pixels = np.random.default_rng(brightest).integers(0, brightest + 1, (64, 64), dtype=np.uint16)
    pixels[0, 0] = brightest
    return png(64, 64, 16, 0, png_rows(pixels))


def halved(seed: int) -> bytes:
    return picture(seed)[: len(picture(seed)) * 2 // 3] + END


def all_kinds(root: Path) -> Path:
    heic = usable()["plain.heic"][0]
    return write(
        root,
        {
            **class_files(),
            **{f"ant/IMG_{number}.HEIC": heic + bytes(number) for number in range(3)},
            "ant/half.jpg": halved(900),
            "bee/empty.JPG": b"",
            "bee/page.jpg": b"<html></html>",
            "bee/wide.png": png(2000, 1000, 8, 0, b""),
            "bee/notes.txt": b"x",
            "bee/again.jpg": picture(0),
            "bee/ant-again.jpg": picture(1),
            "cover.jpg": picture(901),
            ".DS_Store": b"x",
        },
    )


LINE = (
    "left out 13 of 35: 4 with two labels, 3 HEIC (pip install pillow-heif), 2 not an image, 1 damaged, 1 empty,"
    " 1 in no class folder, 1 too large"
)


def test_all_that_is_left_out_is_one_line_by_kind_with_advice(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(files, "can_read_heif", lambda: False)
    root = all_kinds(tmp_path / "in")
    with caplog.at_level(logging.INFO):
        facts, rows = run(root, tmp_path / "out", max_pixels=1_000_000, max_bad_fraction=0.5, twin_bits=None)
    assert facts["left_out_line"] == LINE
    assert facts["left_out"] == sum(facts["left_out_by_kind"].values()) == len(rows) - facts["photos"] == 13
    assert f"ingest: {LINE}; the reasons are in index.parquet" in caplog.text
    assert facts["headline"].splitlines() == ["data      22 photos, 2 classes", f"          {LINE}"]
    assert {path: row["fault"] for path, row in rows.items() if row["fault"]} == {
        **{f"ant/IMG_{number}.HEIC": "HEIC" for number in range(3)},
        "ant/half.jpg": "damaged",
        "bee/empty.JPG": "empty",
        "bee/page.jpg": "not an image",
        "bee/wide.png": "too large",
        "bee/notes.txt": "not an image",
        "cover.jpg": "in no class folder",
    }
    assert facts["passed_over"] == {"hidden": 1}


def test_with_the_package_heic_photos_are_used(tmp_path):
    root = write(tmp_path / "in", {**class_files(), "ant/IMG_1.HEIC": usable()["plain.heic"][0]})
    facts, rows = run(root, tmp_path / "out", twin_bits=None)
    assert (facts["photos"], facts["left_out"], facts["reencoded"]) == (25, 0, 1)
    assert facts["headline"] == "data      25 photos, 2 classes"
    assert rows["ant/IMG_1.HEIC"]["note"] == "re-encoded as jpeg: TensorFlow doesn't read heif"
    assert (rows["ant/IMG_1.HEIC"]["width"], rows["ant/IMG_1.HEIC"]["height"]) == (80, 60)


def test_too_many_heic_photos_are_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "can_read_heif", lambda: False)
    heic = usable()["plain.heic"][0]
    root = write(tmp_path / "in", {**class_files(), **{f"ant/{n}.heic": heic + bytes(n) for n in range(6)}})
    with pytest.raises(UserError) as refused:
        run(root, tmp_path / "out")
    problem, examples, advice = str(refused.value).split("\n")
    assert problem.endswith("ingest.max_bad_fraction=0.05 allows: 6 HEIC (pip install pillow-heif).")
    assert examples.startswith("For example: ant/0.heic, ant/1.heic, ant/2.heic: it is HEIC")
    assert advice == (
        "To read them: pip install pillow-heif. Or fix or remove them, or allow more: ingest.max_bad_fraction=0.2"
    )


def test_missing_photos_of_a_manifest_are_refused_with_where_they_were_looked_for(tmp_path):
    rows = "".join(f"C:\\pics\\{n}.jpg,{'ant' if n % 2 else 'bee'}\n" for n in range(8))
    root = write(tmp_path, {"list.csv": f"path,label\n{rows}".encode()})
    with pytest.raises(UserError) as refused:
        run(root / "list.csv", tmp_path / "out")
    assert str(refused.value).split("\n") == [
        "8 of 8 photos can't be used, more than ingest.max_bad_fraction=0.05 allows: 8 missing.",
        "For example: C:\\pics\\0.jpg, C:\\pics\\1.jpg, C:\\pics\\2.jpg: can't be read: No such file or directory",
        f"Paths are absolute, or relative to the manifest's folder: {root}",
        "Fix or remove them.",
    ]


def test_damaged_photos_are_named_and_nothing_reaches_the_terminal(tmp_path, capfd):
    root = write(tmp_path / "in", {**class_files(), **{f"bee/bad{n}.jpg": halved(910 + n) for n in range(3)}})
    with pytest.raises(
        UserError, match=r"bee/bad0\.jpg, bee/bad1\.jpg, bee/bad2\.jpg: damaged inside: libjpeg reports"
    ):
        run(root, tmp_path / "refused")
    facts, rows = run(root, tmp_path / "out", max_bad_fraction=0.2)
    assert facts["left_out_line"] == "left out 3 of 27: 3 damaged"
    assert [path for path, row in rows.items() if row["outcome"] == "quarantined"] == [
        f"bee/bad{n}.jpg" for n in range(3)
    ]
    assert "Corrupt JPEG data" not in capfd.readouterr().err


def test_a_nearly_black_photo_is_used_with_a_note_also_when_it_is_known(tmp_path):
    files = {**class_files(), "bee/deep.png": deep_png(4095), "bee/bright.png": deep_png(65535)}
    root = write(tmp_path / "in", files)
    write(root, {"ant/night.jpg": save(Image.fromarray(np.full((64, 64), 9, np.uint8)), "JPEG")})
    found = []
    for out in ("first", "again"):
        facts, rows = run(root, tmp_path / out, twin_bits=None, memo=Memo(tmp_path / "memo", {}, {}))
        assert facts["nearly_black"] == ["ant/night.jpg", "bee/deep.png"]
        assert facts["headline"] == "data      27 photos, 2 classes; 2 nearly black, such as ant/night.jpg"
        assert rows["ant/night.jpg"]["note"] == "nearly black: its brightest value is 9 of 255"
        assert rows["bee/deep.png"]["note"] == (
            "nearly black: its brightest value is 15 of 255; if its values have 16 bits, scale them up to 65,535"
        )
        assert rows["bee/bright.png"]["note"] is None
        found.append(rows)
    assert found[0] == found[1]


def test_the_stages_line_shows_what_users_want_in_100_characters(tmp_path):
    facts, _ = run(write(tmp_path / "in", {**class_files(), "bee/notes.txt": b"x"}), tmp_path / "out")
    line = stage_line("ingest", "ran", "0" * 32, 12345.6, facts, ingest.shown)
    assert line.endswith("  photos 24, classes 2, left_out 1, train 20, test 2") and len(line) <= 100
    large = {**facts, "photos": 1_234_567, "classes": 1000, "left_out": 12_345}
    line = stage_line("ingest", "ran", "0" * 32, 12345.6, large, ingest.shown)
    assert "photos 1,234,567, classes 1,000, left_out 12,345" in line and len(line) <= 100
