"""HEIC photos: upright, and without pillow-heif a reason that says what to install."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from slimline.stages.images import files
from slimline.stages.images.faults import Fault
from slimline.stages.images.files import NotUsable, decode, read_header
from slimline.stages.images.heif import can_read_heif
from tests.stages.data.checking.handmade import save
from tests.stages.data.checking.usable import picture, usable

LIMITS = 1_000_000, 10


def heic(orientation: int) -> bytes:
    """Write a HEIC photo that its container turns, with EXIF's copy of the orientation, as phones write it."""
    assert can_read_heif()
    exif = Image.Exif()
    exif[0x112] = orientation
    return save(picture(9, 80, 60), "HEIF", exif=exif.tobytes())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_once_as_its_container_says(orientation):
    image = picture(9, 80, 60)
    turn = files.TURNS.get(orientation)
    expected = np.asarray(image if turn is None else image.transpose(turn)).astype(float)
    found = np.asarray(decode(heic(orientation), upright=True)).astype(float)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 4


def test_exif_alone_turns_nothing():
    plain = heic(1)
    mark = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01"
    assert plain.count(mark) == 1
    found = np.asarray(decode(plain.replace(mark, mark[:-1] + b"\x06"), upright=True)).astype(float)
    np.testing.assert_array_equal(found, np.asarray(decode(plain)))


def test_the_first_of_several_images_is_the_one_that_viewers_show():
    found = np.asarray(decode(usable()["burst.heic"][0])).astype(float)
    assert np.abs(found - np.asarray(picture(9, 80, 60))).mean() < 4


def test_too_large_photos_and_sequences_are_refused_by_their_headers():
    with pytest.raises(NotUsable, match=r"80 x 60 pixels are more than ingest\.max_pixels=4,000 allows") as large:
        read_header(heic(1), 4_000, 10)
    with pytest.raises(NotUsable, match=r"ingest\.max_frames=2 frames") as long:
        read_header(usable()["burst.heic"][0], 1_000_000, 2)
    assert (large.value.fault, long.value.fault) == (Fault.too_large, Fault.too_large)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"])
def test_without_the_package_every_brand_is_refused_with_what_to_install(monkeypatch, brand):
    monkeypatch.setattr(files, "can_read_heif", lambda: False)
    encoded = heic(1)
    with pytest.raises(NotUsable, match="it is HEIC, which needs another package: pip install pillow-heif") as refused:
        read_header(encoded[:8] + brand + encoded[12:], *LIMITS)
    assert refused.value.fault is Fault.heif


def test_an_avif_needs_a_pillow_that_can_read_it(monkeypatch):
    avif = save(picture(), "AVIF")
    assert read_header(avif, *LIMITS).format == "avif"
    monkeypatch.setattr(files, "_can_read_avif", lambda: False)
    with pytest.raises(NotUsable, match=r"pillow>=11\.3") as refused:
        read_header(avif, *LIMITS)
    assert refused.value.fault is Fault.avif
