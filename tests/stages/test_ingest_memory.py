"""Ingest with a memo: known photos aren't decoded again, and the output is the same as without the memo."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.pipeline.memo import Memo
from slimline.stages.data.checking import checks
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.splitting.config import SplitConfig
from slimline.stages.ingest import ingest


def picture(seed: int, kind: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, kind)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make photos of every kind: plain, of other formats, misnamed, duplicate, to be re-encoded, and bad."""
    root = tmp_path / "photos"
    for number in range(40):
        path = root / ("ant" if number % 2 else "bee") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    for number, kind in enumerate(("PNG", "GIF", "BMP", "TIFF")):
        (root / "ant" / f"other.{kind.lower()}").write_bytes(picture(100 + number, kind))
    (root / "ant" / "misnamed.png").write_bytes(picture(200))
    (root / "bee" / "twice.jpg").write_bytes(picture(2))
    (root / "bee" / "bad.jpg").write_bytes(picture(3)[:-20])
    (root / "bee" / "large.jpg").write_bytes(picture(4, size=(80, 60)))
    return root


class Work:
    """Runs ingest, each time into a new folder, with the same memo unless another is named."""

    def __init__(self, photos: Path, folder: Path) -> None:
        self.photos, self.folder, self.count = photos, folder, 0

    def __call__(
        self, memory: str | None = "memory", salt: str = "", **settings
    ) -> tuple[int | None, dict[str, bytes]]:
        """Return the number of new photos, and the written files by name."""
        self.count += 1
        out = self.folder / f"out-{self.count}"
        out.mkdir()
        config = IngestConfig(
            images=str(self.photos), split=SplitConfig(salt=salt), max_bad_fraction=1, seed=0, **settings
        )
        memo = Memo(self.folder / memory, {"slimline.stages.ingest": "1"}, {}) if memory else None
        ingest(settle_source(config, False), out, **({"memo": memo} if memo else {}))
        return memo and memo.notes["new_photos"], {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def work(folder, tmp_path) -> Work:
    return Work(folder, tmp_path)


@pytest.fixture
def decoded(monkeypatch) -> list[bytes]:
    """Return a list to which the bytes of decoded photos are added."""
    seen: list[bytes] = []
    small, judge = checks.decode_small, checks._judge

    def decode_small(encoded, ratio):
        seen.extend(encoded)
        return small(encoded, ratio)

    def judge_other(found, header, encoded, limits):
        seen.append(encoded)
        return judge(found, header, encoded, limits)

    monkeypatch.setattr(checks, "decode_small", decode_small)
    monkeypatch.setattr(checks, "_judge", judge_other)
    return seen


def test_another_split_decodes_only_photos_that_are_not_used_unchanged_and_gives_the_same(work, decoded, folder):
    new, first = work()
    assert new == 40 + 3 + 1 + 1 + 1  # duplicates count twice; re-encoded and bad photos don't count
    assert len(decoded) == new + 1
    decoded.clear()
    for salt in ("", "a"):
        new, again = work(salt=salt)
        assert new == 0
        assert decoded == [(folder / "ant/other.tiff").read_bytes()]
        decoded.clear()
        assert again == work(memory=None, salt=salt)[1]
        decoded.clear()
    assert first == work(memory=None)[1] != again


def test_more_photos_and_other_names_decode_only_the_new_bytes(work, decoded, folder):
    work()
    decoded.clear()
    (folder / "ant/new.jpg").write_bytes(picture(300))
    (folder / "ant/1.jpg").rename(folder / "bee/1.png")
    new, out = work()
    assert new == 1
    assert picture(300) in decoded and picture(1) not in decoded
    rows = {row["path"]: row for row in pq.read_table(io.BytesIO(out["index.parquet"])).to_pylist()}
    assert (rows["bee/1.png"]["note"], rows["bee/1.png"]["label"]) == ("named .png, is jpeg", "bee")
    assert out == work(memory=None)[1]


@pytest.mark.parametrize("settings", [{"max_pixels": 64 * 48}, {"store_px": 32}], ids=str)
def test_other_limits_have_a_separate_memo(work, settings):
    new, first = work()
    fewer, other = work(**settings)
    assert 0 < fewer < new
    assert other == work(memory=None, **settings)[1] != first


def test_other_code_finds_nothing(work, decoded, tmp_path):
    work()
    decoded.clear()
    out = tmp_path / "other"
    out.mkdir()
    memo = Memo(tmp_path / "memory", {"slimline.stages.ingest": "2"}, {})
    config = IngestConfig(images=str(work.photos), max_bad_fraction=1, seed=0)
    ingest(settle_source(config, False), out, memo=memo)
    assert (memo.notes["new_photos"], len(decoded)) == (46, 47)
