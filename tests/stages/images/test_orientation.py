"""EXIF orientation, read and applied in the graph, compared with Pillow."""

from __future__ import annotations

import dataclasses
import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.batches import prepared_batches
from slimline.stages.images.orientation import may_hold_exif, read_orientation, upright
from slimline.stages.images.preprocessing import preprocess_batch
from slimline.stages.images.preprocessing_config import Preprocessing
from tests.stages.images.preparing import prepare

ORIENTATIONS = range(1, 9)
LITE = Preprocessing(input_px=32, crop_fraction=0.875, offset=127.0, scale=128.0)
INCEPTION = Preprocessing(input_px=32, crop="each_side", resize="legacy_bilinear", offset=127.5, scale=127.5)
VGG = Preprocessing(input_px=28, crop="vgg", resize="legacy_bilinear", offset=(123.68, 116.78, 103.94), scale=1.0)
WHOLE = Preprocessing(input_px=32, crop="whole", resize="legacy_bilinear", offset=128.0, scale=128.0)
WAYS = [LITE, INCEPTION, VGG, WHOLE]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    rough = np.random.default_rng(3).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((91, 60), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def read():
    return tf.function(read_orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def jpeg(
    photo: np.ndarray, orientation: int | None = None, endian: str = "<", tags: dict | None = None, **more
) -> bytes:
    exif = Image.Exif()
    exif.endian = endian
    for tag, value in (tags or {}).items():
        exif[tag] = value
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    more |= {"exif": exif.tobytes()} if len(exif) else {}
    Image.fromarray(photo).save(file, "JPEG", quality=95, subsampling=0, **more)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", marker, len(content) + 2) + content


def with_segments(encoded: bytes, *segments: bytes) -> bytes:
    """Put segments at the very start of a JPEG's header."""
    return encoded[:2] + b"".join(segments) + encoded[2:]


def tiff(
    entries: list[tuple[int, int, int, int]], little: bool = True, count: int | None = None, directory: int = 8
) -> bytes:
    """Build a TIFF structure; each entry is (tag, type, count, value), with the value in its first two bytes."""
    order = "<" if little else ">"
    body = b"".join(struct.pack(f"{order}HHIHxx", *entry) for entry in entries)
    number = len(entries) if count is None else count
    return (b"II*\0" if little else b"MM\0*") + struct.pack(f"{order}IH", directory, number) + body


def exif_segment(content: bytes) -> bytes:
    return segment(0xFFE1, b"Exif\0\0" + content)


def pillows(encoded: bytes) -> np.ndarray:
    """Return the pixels that TensorFlow decodes, turned upright by Pillow as the header says."""
    with Image.open(io.BytesIO(encoded)) as image:
        lossless = Image.fromarray(tf.io.decode_jpeg(encoded, channels=3).numpy())
        lossless.getexif().update(image.getexif())
        return np.asarray(ImageOps.exif_transpose(lossless))


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_pillow_writes_is_read_and_turned_as_pillow_turns_it(photo, read, orientation, endian):
    encoded = jpeg(photo, orientation, endian)
    assert (b"MM\0*" in encoded) == (endian == ">")
    found = read(encoded)
    assert found.dtype == tf.int32
    assert int(found) == orientation
    assert bool(may_hold_exif(tf.constant(encoded)))
    ours = upright(tf.io.decode_jpeg(encoded, channels=3), found).numpy()
    assert np.array_equal(ours, pillows(encoded))
    assert ours.shape[:2] == ((91, 60) if orientation >= 5 else (60, 91))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_one_row_and_one_column_are_turned(orientation):
    for shape in [(1, 7, 3), (7, 1, 3), (1, 1, 3)]:
        image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        pillow = Image.fromarray(image)
        pillow.getexif()[0x0112] = orientation
        assert np.array_equal(upright(image, tf.constant(orientation)), np.asarray(ImageOps.exif_transpose(pillow)))


def test_segments_before_the_exif_are_skipped(photo, read):
    bare = jpeg(photo)
    exif = exif_segment(tiff([(0x0112, 3, 1, 6)]))
    random = np.random.default_rng(0)
    before = [
        segment(0xFFE0, b"JFIF\0\1\2\0\0\1\0\1\0\0"),
        segment(0xFFFE, b"a comment with Exif\0\0 in it"),
        segment(0xFFE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation='3'/>"),
        *(segment(0xFFE2, b"ICC_PROFILE\0" + random.bytes(65_000)) for _ in range(9)),
        b"\xff\xff\xff" + segment(0xFFED, b"Photoshop 3.0\0" + bare),
        segment(0xFFE1, b"ExifX\0"),
    ]
    for number in range(len(before) + 1):
        encoded = with_segments(bare, *before[:number], exif, *before[number:])
        assert int(read(encoded)) == 6
        assert tf.io.decode_jpeg(encoded).shape == [60, 91, 3]
    assert int(read(with_segments(bare, *before))) == 1


def test_exif_after_the_tables_and_before_the_scan_is_used(photo, read):
    bare = jpeg(photo)
    scan = bare.index(b"\xff\xda")
    exif = exif_segment(tiff([(0x0112, 3, 1, 8)], little=False))
    assert int(read(bare[:scan] + exif + bare[scan:])) == 8
    assert int(read(bare + exif)) == 1  # after the scan it is no longer part of the header


def test_the_first_exif_is_used(photo, read):
    three, six = (exif_segment(tiff([(0x0112, 3, 1, value)])) for value in (3, 6))
    assert int(read(with_segments(jpeg(photo), three, six))) == 3


def test_a_thumbnail_inside_the_exif_changes_nothing(photo, read):
    thumbnail = jpeg(photo[::4, ::4], 3)
    entries = tiff([(0x010F, 2, 1, 65), (0x0112, 3, 1, 6), (0x011A, 3, 1, 2)])
    encoded = with_segments(jpeg(photo), exif_segment(entries + b"\0\0\0\0" + thumbnail))
    assert int(read(encoded)) == 6
    without = with_segments(jpeg(photo), exif_segment(tiff([(0x010F, 2, 1, 65)]) + b"\0\0\0\0" + thumbnail))
    assert int(read(without)) == 1


def test_a_big_exif_is_read_to_its_end(photo, read):
    many = {tag: tag - 40_000 for tag in range(40_000, 45_000)}
    assert int(read(jpeg(photo, 7, tags=many))) == 7
    last = tiff([*((tag, 3, 1, 2) for tag in range(0x0113, 0x0113 + 5_000)), (0x0112, 3, 1, 5)])
    assert int(read(with_segments(jpeg(photo), exif_segment(last)))) == 5


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize(
    "content",
    {
        "zero": {"entries": [(0x0112, 3, 1, 0)]},
        "nine": {"entries": [(0x0112, 3, 1, 9)]},
        "much": {"entries": [(0x0112, 3, 1, 65535)]},
        "a byte": {"entries": [(0x0112, 1, 1, 6)]},
        "a long": {"entries": [(0x0112, 4, 1, 6)]},
        "two of them": {"entries": [(0x0112, 3, 2, 6)]},
        "another tag": {"entries": [(0x0113, 3, 1, 6)]},
        "no tag": {"entries": []},
        "more entries than there are": {"entries": [(0x0112, 3, 1, 6)], "count": 2},
        "far more entries": {"entries": [(0x0112, 3, 1, 6)], "count": 65535},
        "fewer entries": {"entries": [(0x0112, 3, 1, 6)], "count": 0},
        "the directory in the header": {"entries": [(0x0112, 3, 1, 6)], "directory": 0},
        "the directory at the end": {"entries": [(0x0112, 3, 1, 6)], "directory": 21},
        "the directory past the end": {"entries": [(0x0112, 3, 1, 6)], "directory": 22},
        "the directory far away": {"entries": [(0x0112, 3, 1, 6)], "directory": 0x7FFFFFFF},
        "the directory too far for 31 bits": {"entries": [(0x0112, 3, 1, 6)], "directory": 0xFFFFFFFF},
    }.items(),
    ids=lambda item: item[0],
)
def test_an_unusable_exif_means_upright(photo, read, content, little):
    encoded = with_segments(jpeg(photo), exif_segment(tiff(little=little, **content[1])))
    assert int(read(encoded)) == 1
    good = with_segments(jpeg(photo), exif_segment(tiff([(0x0112, 3, 1, 6)], little)))
    assert int(read(good)) == 6


def test_an_unknown_byte_order_means_upright(photo, read):
    content = tiff([(0x0112, 3, 1, 6)])
    for order in (b"IM*\0", b"II\0*", b"MM*\0", b"\0\0\0\0"):
        assert int(read(with_segments(jpeg(photo), exif_segment(order + content[4:])))) == 1


def test_a_truncated_exif_is_not_an_error(photo, read):
    exif = exif_segment(tiff([(0x0112, 3, 1, 6)]))
    encoded = with_segments(jpeg(photo), exif)
    found = [int(read(encoded[:end])) for end in range(2 + len(exif) + 1)]
    whole = 2 + len(exif) - 2  # without the value's two empty bytes, the directory is truncated
    assert found[:whole] == [1] * whole
    assert found[-1] == 6


def test_other_and_unknown_formats_are_upright(photo, read):
    png = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(png, "PNG", exif=exif)
    content = exif_segment(tiff([(0x0112, 3, 1, 6)]))
    for encoded in (png.getvalue(), b"", b"\xff", b"BM" + content, content, b"\xff\xd8" + b"\xff" * 5000):
        assert int(read(encoded)) == 1
    assert not bool(may_hold_exif(tf.constant(b"")))


def test_damage_is_never_an_error(photo, read):
    good = jpeg(photo, 6, tags={0x010F: "Maker", 0x0110: "Model", 0x0131: "x" * 300}, comment=b"hello")
    header = good.index(b"\xff\xdb")
    random = np.random.default_rng(11)
    changed = 0
    for _ in range(300):
        bad = bytearray(good)
        for place in random.integers(2, header, random.integers(1, 6)):
            bad[place] = random.choice([0, 1, 0xFF, 0xE1, random.integers(256)])
        if random.random() < 0.3:
            bad = bad[: random.integers(0, header)]
        found = int(read(bytes(bad)))
        assert 1 <= found <= 8
        changed += found != 6
    assert 50 < changed < 300  # some of the damage is in bytes that matter, some isn't


def test_reading_endless_segments_stops(photo, read):
    exif = exif_segment(tiff([(0x0112, 3, 1, 6)]))
    padded = b"\xff" * 900
    assert int(read(with_segments(jpeg(photo), padded + exif))) == 6
    assert int(read(with_segments(jpeg(photo), padded * 2 + exif))) == 1


@pytest.mark.parametrize("wanted", WAYS, ids=lambda wanted: wanted.crop)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photo_is_turned_before_it_is_cropped(photo, orientation, wanted):
    encoded = jpeg(photo, orientation)
    file = io.BytesIO()
    Image.fromarray(pillows(encoded)).save(file, "PNG")
    ours = prepare(encoded, wanted)
    assert np.array_equal(ours, prepare(file.getvalue(), wanted))
    as_it_lies = prepare(jpeg(photo), wanted)
    ignored = prepare(encoded, dataclasses.replace(wanted, orientation="ignore"))
    assert np.array_equal(ignored, as_it_lies)
    assert np.array_equal(ours, as_it_lies) == (orientation == 1)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", WAYS, ids=lambda wanted: wanted.crop)
def test_a_dataset_and_a_reloaded_saved_model_agree(photo, tmp_path, wanted):
    photos = [jpeg(photo, orientation, endian) for orientation in ORIENTATIONS for endian in "<>"]
    photos += [jpeg(photo), with_segments(jpeg(photo), exif_segment(b"II*\0"))]
    module = tf.Module()
    module.prepare = tf.function(
        lambda image_bytes: {"images": preprocess_batch(image_bytes, wanted)},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.prepare})
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](image_bytes=tf.constant(photos))["images"]
    records = tf.data.Dataset.from_tensor_slices({"encoded": photos})
    [(prepared, _)] = prepared_batches(records, wanted, len(photos))
    assert np.array_equal(prepared, served)
    assert len({row.tobytes() for row in prepared.numpy()}) == 8
    assert np.array_equal(prepared[0], prepared[-1])
