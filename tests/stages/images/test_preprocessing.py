"""Preprocessing, compared with its formula in NumPy, and with TensorFlow 1's own operations."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.batches import prepared_batches
from slimline.stages.images.preprocessing import preprocess_batch
from slimline.stages.images.preprocessing_config import Preprocessing
from tests.stages.images.preparing import prepare

WANTED = Preprocessing(input_px=32, crop_fraction=0.875, offset=127.0, scale=128.0)
INCEPTION = Preprocessing(
    input_px=29, crop="each_side", crop_fraction=0.875, resize="legacy_bilinear", offset=127.5, scale=127.5
)
MEANS = (123.68, 116.78, 103.94)
VGG = Preprocessing(input_px=28, crop="vgg", resize="legacy_bilinear", offset=MEANS, scale=1.0)
WHOLE = Preprocessing(input_px=31, crop="whole", resize="legacy_bilinear", offset=128.0, scale=128.0)
WAYS = {"lite": WANTED, "inception": INCEPTION, "vgg": VGG, "whole": WHOLE}
SIZES = [(61, 97), (97, 61), (64, 64), (33, 250), (19, 23), (1, 1), (1, 40), (75, 2)]


def encoded(image: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}), **options)
    return file.getvalue()


def smooth(height: int, width: int) -> np.ndarray:
    rough = np.random.default_rng(height * 1000 + width).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


def cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5, which TensorFlow's resize uses."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resize_rows(image: np.ndarray, rows: int) -> np.ndarray:
    centers = (np.arange(rows) + 0.5) * len(image) / rows - 0.5
    weights = cubic(centers[:, None] - np.arange(len(image))[None])
    weights /= weights.sum(axis=1, keepdims=True)
    return np.tensordot(weights, image, 1)


def legacy_rows(image: np.ndarray, rows: int) -> np.ndarray:
    """Resize bilinearly as in TensorFlow 1: output row i is read at i * height / rows."""
    source = np.arange(rows) * (len(image) / rows)
    low = np.floor(source).astype(int)
    weight = (source - low)[:, None, None]
    return image[low] * (1 - weight) + image[np.minimum(low + 1, len(image) - 1)] * weight


def legacy(image: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = legacy_rows(image.astype(np.float64), height)
    return legacy_rows(rows.transpose(1, 0, 2), width).transpose(1, 0, 2)


def lite_formula(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = int(np.float32(min(height, width)) * np.float32(0.875))
    top, left = (height - side) // 2, (width - side) // 2
    crop = image[top : top + side, left : left + side].astype(np.float64)
    resized = resize_rows(resize_rows(crop, 32).transpose(1, 0, 2), 32).transpose(1, 0, 2)
    return (resized - 127) / 128


def inception_formula(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    top, left = int((height - height * 0.875) / 2), int((width - width * 0.875) / 2)
    crop = (image / 255)[top : height - top, left : width - left]
    return (legacy(crop, 29, 29) - 0.5) * 2


def vgg_formula(image: np.ndarray) -> np.ndarray:
    size = np.array(image.shape[:2])
    height, width = np.rint(size * 32 / size.min()).astype(int)
    top, left = (height - 28) // 2, (width - 28) // 2
    return legacy(image, height, width)[top : top + 28, left : left + 28] - MEANS


def whole_formula(image: np.ndarray) -> np.ndarray:
    return (legacy(image, 31, 31) - 128) / 128


def inception_in_tensorflow_1(image: np.ndarray) -> np.ndarray:
    crop = tf.image.central_crop(tf.image.convert_image_dtype(image, tf.float32), 0.875)
    resized = tf.compat.v1.image.resize_bilinear(crop[None], [29, 29], align_corners=False)[0]
    return ((resized - 0.5) * 2.0).numpy()


def vgg_in_tensorflow_1(image: np.ndarray) -> np.ndarray:
    size = np.array(image.shape[:2], np.float32)
    height, width = np.rint(size * (np.float32(32) / size.min())).astype(int)
    resized = tf.compat.v1.image.resize_bilinear(image[None], [height, width], align_corners=False)[0]
    top, left = (height - 28) // 2, (width - 28) // 2
    return (resized[top : top + 28, left : left + 28] - tf.constant(MEANS)).numpy()


def whole_in_tensorflow_1(image: np.ndarray) -> np.ndarray:
    resized = tf.compat.v1.image.resize_bilinear(image[None].astype(np.float32), [31, 31])[0]
    return ((resized - 128.0) / 128.0).numpy()


def lite_in_one_resize(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = max(int(np.float32(min(height, width)) * np.float32(0.875)), 1)
    top, left = (height - side) // 2, (width - side) // 2
    crop = image[top : top + side, left : left + side]
    return ((tf.image.resize(crop, [32, 32], method="bicubic") - 127.0) / 128.0).numpy()


@pytest.fixture
def photo():
    return smooth(60, 90)


def test_a_png_follows_the_formula(photo):
    ours = prepare(encoded(photo, "PNG"), WANTED)
    assert ours.shape == (32, 32, 3)
    assert np.abs(ours - lite_formula(photo)).max() < 1e-2  # TensorFlow's bicubic kernel is a table of 1024 steps


def test_a_jpeg_is_cropped_as_it_is_decoded(photo):
    jpeg = encoded(photo, "JPEG")
    whole = tf.io.decode_jpeg(jpeg, channels=3).numpy()
    ours = prepare(jpeg, WANTED)
    assert np.abs(ours - lite_formula(whole)).mean() < 1e-2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("wanted", "formula", "tolerance"),
    [(INCEPTION, inception_formula, 1e-5), (VGG, vgg_formula, 1e-3), (WHOLE, whole_formula, 1e-5)],
)
def test_the_zoos_preprocessing_follows_its_formulas(size, wanted, formula, tolerance):
    image = smooth(*size)
    ours = prepare(encoded(image, "PNG"), wanted)
    assert ours.shape == (wanted.input_px, wanted.input_px, 3)
    assert np.abs(ours - formula(image)).max() < tolerance


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("wanted", "reference", "tolerance"),
    [
        (INCEPTION, inception_in_tensorflow_1, 1e-6),
        (VGG, vgg_in_tensorflow_1, 0),
        (WHOLE, whole_in_tensorflow_1, 0),
        (WANTED, lite_in_one_resize, 0),
    ],
)
def test_each_preprocessing_equals_tensorflows_own_operations(size, wanted, reference, tolerance):
    image = smooth(*size)
    ours = prepare(encoded(image, "PNG"), wanted)
    assert np.abs(ours - reference(image)).max() <= tolerance


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpegs_crop_has_the_whole_images_pixels(way, subsampling, progressive):
    for height, width in SIZES:
        noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        jpeg = encoded(noise, "JPEG", subsampling=subsampling, progressive=progressive)
        lossless = encoded(tf.io.decode_jpeg(jpeg, channels=3).numpy(), "PNG")
        assert np.array_equal(prepare(jpeg, WAYS[way]), prepare(lossless, WAYS[way]))


def test_real_photos_crops_have_the_whole_images_pixels(flower_photos):
    for path in sorted(flower_photos.glob("*/*.jpg"))[::300]:
        jpeg = path.read_bytes()
        image = tf.io.decode_jpeg(jpeg, channels=3).numpy()
        for wanted, reference in [
            (INCEPTION, inception_in_tensorflow_1),
            (VGG, vgg_in_tensorflow_1),
            (WANTED, lite_in_one_resize),
        ]:
            assert np.abs(prepare(jpeg, wanted) - reference(image)).max() < 1e-6


def test_vgg_at_full_size_resizes_the_shorter_side_to_256():
    image = smooth(300, 401)
    wanted = Preprocessing(input_px=224, crop="vgg", resize="legacy_bilinear", offset=MEANS, scale=1.0)
    resized = tf.compat.v1.image.resize_bilinear(image[None], [256, 342])[0]
    ours = prepare(encoded(image, "PNG"), wanted)
    assert np.array_equal(ours, resized[16:240, 59:283] - tf.constant(MEANS))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_panorama_one_pixel_high_takes_no_more_memory_than_others(way, kind):
    panorama = np.repeat(np.linspace(0, 255, 20_000).astype(np.uint8)[None, :, None], 3, axis=2)
    ours = prepare(encoded(panorama, kind), WAYS[way])
    assert np.isfinite(ours).all()
    assert np.abs(ours - ours[:1]).max() < 1e-4  # every row is the only row
    if way != "whole":
        middle = ours.mean() * WAYS[way].scale + np.mean(WAYS[way].offset)
        assert abs(middle - 127.5) < 5  # the legacy kernel reads half an output pixel, here 4 of 255, too far left
    else:
        assert np.abs(ours[0, 0] * 128 + 128).max() < 3  # the left end


def test_gray_and_alpha_become_three_channels(photo):
    for kind in ("PNG", "JPEG"):
        gray = prepare(encoded(photo[..., 0], kind), WANTED)
        assert np.array_equal(gray[..., 0], gray[..., 1])
    alpha = np.dstack([photo, np.full(photo.shape[:2], 128, np.uint8)])
    assert prepare(encoded(alpha, "PNG"), WANTED).shape == (32, 32, 3)


def test_a_cmyk_jpeg_is_decoded_as_by_tensorflow(photo):
    file = io.BytesIO()
    Image.fromarray(photo).convert("CMYK").save(file, "JPEG", quality=95)
    whole = tf.io.decode_jpeg(file.getvalue(), channels=3).numpy()
    ours = prepare(file.getvalue(), WANTED)
    assert np.array_equal(ours, lite_in_one_resize(whole))


def test_an_animations_first_frame_is_used(photo):
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    file, still = io.BytesIO(), io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    frames[0].save(still, "GIF")
    for wanted in WAYS.values():
        ours = prepare(file.getvalue(), wanted)
        assert np.array_equal(ours, prepare(still.getvalue(), wanted))


def test_a_bmp_is_its_png(photo):
    ours = prepare(encoded(photo, "BMP"), INCEPTION)
    assert np.array_equal(ours, prepare(encoded(photo, "PNG"), INCEPTION))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_batch_is_its_images_and_so_is_a_dataset(photo, way):
    photos = [encoded(photo, "PNG"), encoded(photo[:40, ::-1], "JPEG")]
    batch = preprocess_batch(tf.constant(photos), WAYS[way]).numpy()
    records = tf.data.Dataset.from_tensor_slices({"encoded": photos})
    [(prepared, _)] = prepared_batches(records, WAYS[way], 2)
    assert np.array_equal(batch, prepared)
    for row, one in zip(batch, photos, strict=True):
        assert np.array_equal(row, prepare(one, WAYS[way]))


@pytest.mark.parametrize("way", WAYS)
def test_a_preprocessing_survives_json(way):
    values = json.loads(json.dumps(dataclasses.asdict(WAYS[way])))
    assert Preprocessing(**values) == WAYS[way]
    assert hash(Preprocessing(**values)) == hash(WAYS[way])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input_px": 0}, "input_px=0"),
        ({"input_px": 2.5}, "input_px=2.5"),
        ({"crop": "middle"}, "crop='middle' is not valid. Valid values: square, each_side, vgg, whole"),
        ({"crop_fraction": 0.0}, "crop_fraction=0.0"),
        ({"crop_fraction": 1.01}, "crop_fraction=1.01"),
        ({"resize": "bilinear"}, "resize='bilinear' is not valid. Valid values: bicubic, legacy_bilinear"),
        ({"crop": "vgg"}, "can't be used with crop='vgg'"),
        ({"offset": (1.0, 2.0)}, "offset="),
        ({"offset": float("nan")}, "offset=nan"),
        ({"offset": "127"}, "offset='127'"),
        ({"scale": 0.0}, "scale=0.0"),
        ({"orientation": "up"}, "orientation='up' is not valid. Valid values: exif, ignore"),
    ],
)
def test_invalid_values_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(WANTED, **change)
