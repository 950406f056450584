"""Ingest of hostile files: each is used or left out for the right reason, and used ones can be trained on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.checking.checks import check_photos, usable_bytes
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources.photo import Photo
from slimline.stages.data.storing.records import read_record
from slimline.stages.images.files import NotUsable
from slimline.stages.images.preprocessing import preprocess_batch
from slimline.stages.ingest import ingest
from tests.stages.data.checking.handmade import exif, png, png_rows, save, with_segments
from tests.stages.data.checking.hostile import MOST_FILE_BYTES, MOST_FRAMES, MOST_PIXELS, kinds, valid
from tests.stages.data.checking.judging import LIMITS, WANTED, as_seen_by_the_network, as_shown, check
from tests.stages.data.checking.usable import REENCODED, USED, picture
from tests.stages.images.preparing import prepare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),  # of damaged files
]

MOST_SECONDS = 2.0
MOST_RISE_KB = 40_000


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "file"


@pytest.mark.parametrize("name", kinds())
def test_every_kind_is_used_or_left_out_for_the_right_reason(name, scratch):
    encoded, expected = kinds()[name]
    started = time.perf_counter()
    found = check(encoded, scratch, name)
    assert time.perf_counter() - started < MOST_SECONDS
    if expected in (USED, REENCODED):
        assert found.reason == ""
        assert (found.encoded is not None, "re-encoded as" in found.note) == (expected == REENCODED,) * 2
    else:
        assert expected in found.reason
        assert found.encoded is None


def test_a_group_of_all_kinds_gives_the_same_results_as_each_alone(tmp_path, scratch):
    photos = []
    for number, (name, kind) in enumerate(kinds().items()):
        (tmp_path / str(number)).write_bytes(kind.encoded)
        photos.append(Photo(name, "ant", str(tmp_path / str(number))))
    together = check_photos(photos, LIMITS)
    assert [found.photo for found in together] == photos
    for found in together:
        alone = check(kinds()[found.photo.path].encoded, scratch, found.photo.path)
        assert found._replace(photo=alone.photo) == alone


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict]]:
    """Ingest all kinds together with good photos; return the artifact, and its index by name."""
    root, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("out")
    for label, noise in (("ant", 1), ("bee", 2)):
        (root / label).mkdir()
        for number in range(12):
            pixels = np.random.default_rng(100 * noise + number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
            (root / label / f"good-{number}.jpg").write_bytes(save(Image.fromarray(pixels), "JPEG"))
    for name, kind in kinds().items():
        (root / "ant" / name).write_bytes(kind.encoded)
    limits = {"max_pixels": MOST_PIXELS, "max_frames": MOST_FRAMES, "max_file_mb": MOST_FILE_BYTES // 1_000_000}
    config = IngestConfig(images=str(root), seed=0, max_bad_fraction=1, twin_bits=None, **limits)
    ingest(settle_source(config, False), out)
    return out, {Path(row["path"]).name: row for row in pq.read_table(out / "index.parquet").to_pylist()}


def test_a_folder_of_all_kinds_is_accounted_for_file_by_file(ingested):
    _, rows = ingested
    for name, kind in kinds().items():
        row = rows[name]
        if kind.expected in (USED, REENCODED):
            assert (name, row["outcome"], row["reason"]) == (name, "used", None)
            assert ("re-encoded" in (row["note"] or "")) == (kind.expected == REENCODED)
        else:
            assert (name, row["outcome"], row["shard"]) == (name, "quarantined", None)
            assert kind.expected in row["reason"]


def used(ingested: tuple[Path, dict[str, dict]]) -> list[tuple[dict, str, bytes]]:
    """Return the row, the name and the stored bytes of each used file."""
    out, rows = ingested
    found = []
    for name, kind in kinds().items():
        if kind.expected in (USED, REENCODED):
            row = rows[name]
            features = read_record(out, row["shard"], row["offset"], row["length"])
            found.append((row, name, features["image/encoded"].bytes_list.value[0]))
    return found


def test_stored_photos_show_the_same_as_pillow_shows_of_the_original(ingested):
    for row, name, stored in used(ingested):
        seen, shown = as_seen_by_the_network(stored), as_shown(name, kinds()[name].encoded)
        assert (name, seen.shape) == (name, shown.shape)
        assert (name, row["height"], row["width"]) == (name, *shown.shape[:2])
        assert np.abs(seen.astype(float) - shown).mean() < 6, name


def test_stored_photos_are_prepared_equally_for_training_and_for_the_exported_model(ingested):
    stored = [encoded for _, _, encoded in used(ingested)]
    batch = tf.function(lambda encoded: preprocess_batch(encoded, WANTED), autograph=False)(tf.constant(stored)).numpy()
    assert batch.shape == (len(stored), 32, 32, 3)
    assert np.isfinite(batch).all()
    for encoded, one in zip(stored, batch, strict=True):
        np.testing.assert_array_equal(prepare(encoded, WANTED), one)


def test_stored_photos_are_decoded_without_a_message_and_so_are_those_of_classify(ingested, capfd):
    stored = [encoded for _, _, encoded in used(ingested)]
    for kind in kinds().values():
        if kind.expected in (USED, REENCODED):
            stored.append(usable_bytes(kind.encoded, LIMITS))
        elif len(kind.encoded) < MOST_FILE_BYTES:
            with pytest.raises(NotUsable, match=re.escape(kind.expected)):
                usable_bytes(kind.encoded, LIMITS)
    for encoded in stored:
        as_seen_by_the_network(encoded)
    assert capfd.readouterr().err == ""


def large_photos() -> dict[str, bytes]:
    image = picture(0, 400, 300)
    jpeg, gray = save(image, "JPEG", quality=95), np.asarray(image)[..., 0].astype(np.uint16) * 257
    files = {f"exif-{value}.jpg": with_segments(jpeg, exif([(0x112, 3, 1, value)])) for value in range(1, 9)}
    files["exif-long.jpg"] = with_segments(jpeg, exif([(0x112, 4, 1, 6)]))
    files["cmyk.jpg"] = save(image.convert("CMYK"), "JPEG", quality=95)
    files["16-bit.png"] = png(400, 300, 16, 0, png_rows(gray + np.arange(400, dtype=np.uint16)))
    turned = Image.Exif()
    turned[0x112] = 6
    files["exif.png"] = save(image, "PNG", exif=turned, compress_level=0)
    return files | {f"exif.{kind}": save(image, kind, exif=turned, quality=100) for kind in ("webp", "avif")}


@pytest.mark.parametrize("name", large_photos())
def test_scaled_down_photos_show_the_same_with_the_same_orientation(name, scratch):
    encoded = large_photos()[name]
    scratch.write_bytes(encoded)
    [found] = check_photos([Photo(name, "ant", str(scratch))], LIMITS._replace(store_px=100))
    assert found.note.endswith("scaled down")
    seen, shown = as_seen_by_the_network(found.encoded), as_shown(name, encoded)
    assert (found.height, found.width) == seen.shape[
        :2
    ]  # the size of the stored photo, and the size that its record states
    assert seen.shape[:2] == ((100, 133) if shown.shape[0] < shown.shape[1] else (133, 100))
    small = Image.fromarray(shown).resize(seen.shape[1::-1], Image.Resampling.LANCZOS)
    assert np.abs(seen.astype(float) - np.asarray(small)).mean() < 6


def test_a_photo_too_narrow_for_a_jpeg_is_not_changed(scratch):
    scratch.write_bytes(png(100_000, 40, 8, 0, (b"\0" + b"\x80" * 100_000) * 40))
    [found] = check_photos([Photo("a.png", "ant", str(scratch))], LIMITS._replace(store_px=38))
    assert (found.reason, found.note, found.encoded) == ("", "", None)


@pytest.mark.parametrize("name", valid())
def test_a_truncated_file_is_left_out_unless_its_pixels_are_complete(name, scratch):
    encoded = valid()[name]
    whole = check(encoded, scratch)
    pixels = as_seen_by_the_network(whole.encoded or encoded)
    for length in {*range(0, len(encoded), max(1, len(encoded) // 40)), *range(len(encoded) - 9, len(encoded))}:
        found = check(encoded[:length], scratch)
        if not found.reason:
            np.testing.assert_array_equal(as_seen_by_the_network(found.encoded or encoded[:length]), pixels)


def test_a_file_without_read_permission_is_left_out(scratch, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    [found] = check_photos([Photo("a.jpg", "ant", str(scratch))], LIMITS)
    assert found.reason == "can't be read: Permission denied"


MEASURE = """
import json, resource, sys, time
from slimline.stages.data.checking.checks import Limits, check_photos
from slimline.stages.data.sources.photo import Photo
from tests.stages.data.checking.hostile import MOST_FILE_BYTES, MOST_FRAMES, MOST_PIXELS

def measure(path):
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    [found] = check_photos([Photo(path, "ant", path)], Limits(MOST_PIXELS, MOST_FRAMES, MOST_FILE_BYTES))
    rise = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return rise, time.perf_counter() - started, found.reason

warm, bombs = json.loads(sys.stdin.read())
for path in warm:
    measure(path)
resource.setrlimit(resource.RLIMIT_AS, (13 << 30, resource.RLIM_INFINITY))  # less than a 60,000 px canvas takes
print(json.dumps({path: measure(path) for path in bombs}))
"""


def test_bombs_are_refused_before_they_take_memory_or_time(tmp_path):
    def write(name: str, encoded: bytes) -> str:
        (tmp_path / name).write_bytes(encoded)
        return str(tmp_path / name)

    signs = ("too large", "max_frames", "max_file_mb", "once decompressed", "more than 1")
    bombs = [write(name, kind.encoded) for name, kind in kinds().items() if any(map(kind.expected.__contains__, signs))]
    bombs.append(write("too-much.png", kinds()["too-much.png"].encoded))
    warm = [write(f"warm-{name}", encoded) for name, encoded in valid().items()]
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], input=json.dumps([warm, bombs]), capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert len(measured) == len(bombs) >= 19
    for path, (rise_kb, seconds, reason) in measured.items():
        assert rise_kb < MOST_RISE_KB, path
        assert seconds < MOST_SECONDS, path
        assert kinds()[Path(path).name].expected in (reason or USED), path
