"""Augmentation: draws compared with their ranges, images with NumPy and TensorFlow's own operations."""

from __future__ import annotations

import colorsys
import dataclasses
import functools
import io

import numpy as np
import pytest
from PIL import Image

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation import augment, image_seed
from slimline.stages.images.augmentation_config import (
    AugmentationConfig,
    CropConfig,
    InceptionConfig,
    RandAugmentConfig,
    RetrainConfig,
)
from slimline.stages.images.batches import without_autotune
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.images.views import color_matrix, draw_box
from tests.stages.images.preparing import prepare

SIDE = 24
RAW = Preprocessing(input_px=SIDE, crop="whole", resize="legacy_bilinear", offset=0.0, scale=1.0)
LITE = Preprocessing(input_px=SIDE, offset=127.0, scale=128.0)
VGG = Preprocessing(input_px=SIDE, crop="vgg", resize="legacy_bilinear", offset=(123.68, 116.78, 103.94), scale=1.0)
WAYS = {"lite": LITE, "vgg": VGG}
STILL = {"min_area": 1.0, "aspect_min": 1.0, "aspect_max": 1.0, "flip": False}  # keeps all of a square photo
COLORLESS = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
OPTIONS = {
    "none": AugmentationConfig(),
    "crop": CropConfig(hue=0.1),
    "inception": InceptionConfig(),
    "slow inception": InceptionConfig(fast=False),
    "retrain": RetrainConfig(flip_left_right=True, random_crop=10, random_scale=20, random_brightness=30),
    "randaugment": RandAugmentConfig(),
}
VARIED = [name for name in OPTIONS if name != "none"]
LUMA = np.array([0.299, 0.587, 0.114])


def encode(image: np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}), **options)
    return file.getvalue()


def photo(height: int, width: int, low: int = 0, high: int = 255) -> np.ndarray:
    rough = np.random.default_rng(height * 1000 + width).integers(low, high + 1, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BILINEAR))


FUNCTIONS = {}


def varied(encoded: bytes, wanted: Preprocessing, config: AugmentationConfig, seed=(1, 2)) -> np.ndarray:
    """Augment one image in a graph, traced once for each preprocessing and config."""
    key = wanted, repr(config)
    if key not in FUNCTIONS:
        FUNCTIONS[key] = tf.function(
            lambda encoded, seed: augment(encoded, wanted, config, seed),
            input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([2], tf.int32)],
            autograph=False,
        )
    return FUNCTIONS[key](encoded, tf.constant(seed, tf.int32)).numpy()


def many(encoded: bytes, config: AugmentationConfig, count: int, wanted: Preprocessing = RAW) -> np.ndarray:
    return np.stack([varied(encoded, wanted, config, (number, 7)) for number in range(count)])


def spread_over(values: np.ndarray, low: float, high: float) -> None:
    """Check that values are uniformly distributed: range, both ends, mean and deviation."""
    width = high - low
    assert values.min() >= low - 1e-3 * width
    assert values.max() <= high + 1e-3 * width
    assert values.min() < low + 0.1 * width
    assert values.max() > high - 0.1 * width
    assert values.mean() == pytest.approx((low + high) / 2, abs=4 * width / np.sqrt(12 * len(values)))
    assert values.std() == pytest.approx(width / np.sqrt(12), rel=0.25)


def test_a_config_of_another_kind_is_refused():
    @dataclasses.dataclass
    class Other(AugmentationConfig):
        pass

    with pytest.raises(TypeError, match="Other"):
        augment(encode(photo(9, 9)), RAW, Other(), tf.constant([1, 2]))


def test_a_seed_depends_on_all_bits_of_all_three():
    numbers = [*range(50), *(2**bit for bit in range(6, 63)), -1]
    seeds = {tuple(image_seed(0, tf.constant(number, tf.int64), tf.constant(0)).numpy()) for number in numbers}
    seeds |= {tuple(image_seed(0, tf.constant(0, tf.int64), tf.constant(epoch)).numpy()) for epoch in range(1, 50)}
    seeds |= {tuple(image_seed(seed, tf.constant(0, tf.int64), tf.constant(0)).numpy()) for seed in numbers[1:]}
    assert len(seeds) == 2 * len(numbers) - 1 + 49


def test_a_seed_is_the_same_everywhere():
    images = tf.data.Dataset.range(20)
    mapped = images.map(tf.autograph.experimental.do_not_convert(lambda image: image_seed(3, image, 5)), 2)
    assert [tuple(seed) for seed in mapped.as_numpy_iterator()] == [
        tuple(image_seed(3, tf.constant(image, tf.int64), tf.constant(5, tf.int64)).numpy()) for image in range(20)
    ]
    assert image_seed(3, tf.constant(4, tf.int64), 5).numpy().tolist() == [-376074704, 1644073999]


def test_the_draws_of_neighboring_images_are_unrelated():
    @tf.function(autograph=False)
    def draw(number):
        return tf.random.stateless_uniform([], image_seed(1, number // 40, number % 40))

    draws = np.array([float(draw(tf.constant(number, tf.int64))) for number in range(1600)]).reshape(40, 40)
    spread_over(draws.ravel(), 0, 1)
    for one, other in [(draws[1:], draws[:-1]), (draws[:, 1:], draws[:, :-1])]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


def boxes(height: int, width: int, count: int = 400, area=(0.3, 0.9), aspect=(0.75, 1.333)) -> np.ndarray:
    @tf.function(autograph=False)
    def draw():
        seeds = tf.stack([tf.range(count), tf.fill([count], 3)], 1)
        return tf.map_fn(
            lambda seed: tf.stack(draw_box(tf.constant([height, width]), seed, area, aspect)),
            seeds,
            fn_output_signature=tf.int32,
        )

    return draw().numpy()


@pytest.mark.parametrize(("height", "width"), [(200, 300), (300, 200), (40, 40)])
def test_boxes_keep_to_their_bounds(height, width):
    top, left, tall, wide = boxes(height, width).T
    assert min(top.min(), left.min()) >= 0
    assert (top + tall).max() <= height
    assert (left + wide).max() <= width
    share = tall * wide / (height * width)
    assert 0.3 <= share.min() < 0.35
    assert share.max() <= 0.9
    assert share.max() > 0.75 * min(0.9, min(height, width) ** 2 * 1.333 / (height * width))
    ratios = wide / tall
    assert ratios.min() > 0.75 - 1.5 / tall.min()
    assert ratios.max() < 1.333 + 1.5 / tall.min()
    spread_over((top / np.maximum(height - tall, 1))[tall < 0.8 * height], 0, 1)


def test_a_box_that_does_not_fit_is_the_whole_image():
    assert (boxes(1, 3000, 5) == [0, 0, 1, 3000]).all()
    assert (boxes(1, 1, 5) == [0, 0, 1, 1]).all()


def test_a_view_is_its_box_resized():
    image = photo(61, 83)
    config = CropConfig(**COLORLESS, flip=False)
    for number in range(8):
        seed = tf.constant([number, 9])
        box = draw_box(tf.constant([61, 83]), tf.random.split(seed, 3)[0], (0.3, 1.0), (0.75, 1.333))
        top, left, height, width = (int(one) for one in box)
        part = image[top : top + height, left : left + width]
        legacy = tf.compat.v1.image.resize_bilinear(part[None], [SIDE, SIDE])[0].numpy()
        bicubic = (tf.image.resize(part, [SIDE, SIDE], method="bicubic").numpy() - 127) / 128
        assert np.array_equal(varied(encode(image), RAW, config, (number, 9)), legacy)
        assert np.abs(varied(encode(image), LITE, config, (number, 9)) - bicubic).max() < 1e-6


@pytest.mark.parametrize("config", [CropConfig(**COLORLESS, **{**STILL, "flip": True}), RetrainConfig(True)])
def test_half_are_mirrored(config):
    image = photo(SIDE, SIDE)
    results = many(encode(image), config, 200)
    mirrored = [np.array_equal(one, image[:, ::-1]) for one in results]
    assert all(flip or np.array_equal(one, image) for flip, one in zip(mirrored, results, strict=True))
    assert 70 < sum(mirrored) < 130


def test_brightness_is_added_evenly():
    image = photo(SIDE, SIDE, 60, 190).astype(float)
    config = CropConfig(**STILL, **{**COLORLESS, "brightness": 0.125})
    added = many(encode(image.astype(np.uint8)), config, 150) - image
    assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-4
    spread_over(added.mean((1, 2, 3)), -0.125 * 255, 0.125 * 255)


def test_contrast_is_a_factor_about_each_channels_mean():
    image = photo(SIDE, SIDE, 70, 180).astype(float)
    config = CropConfig(**STILL, **{**COLORLESS, "contrast": 0.3})
    from_mean = image - image.mean((0, 1))
    changed = many(encode(image.astype(np.uint8)), config, 150) - image.mean((0, 1))
    factors = (changed * from_mean).sum((1, 2, 3)) / (from_mean**2).sum()
    assert np.abs(changed - factors[:, None, None, None] * from_mean).max() < 1e-3
    spread_over(factors, 0.7, 1.3)


def test_saturation_is_a_factor_about_gray():
    image = photo(SIDE, SIDE, 70, 180).astype(float)
    config = CropConfig(**STILL, **{**COLORLESS, "saturation": 0.4})
    gray = (image @ LUMA)[..., None]
    changed = many(encode(image.astype(np.uint8)), config, 150) - gray
    factors = (changed * (image - gray)).sum((1, 2, 3)) / ((image - gray) ** 2).sum()
    assert np.abs(changed - factors[:, None, None, None] * (image - gray)).max() < 1e-2
    spread_over(factors, 0.6, 1.4)


def test_hue_turns_about_the_gray_axis():
    image = photo(SIDE, SIDE, 100, 150).astype(float)
    config = CropConfig(**STILL, **COLORLESS, hue=0.2)
    to_yiq = np.array([colorsys.rgb_to_yiq(*row) for row in np.eye(3)])
    before = (image @ to_yiq)[..., 1:] @ [1, 1j]
    after = (many(encode(image.astype(np.uint8)), config, 150) @ to_yiq)[..., 1:] @ [1, 1j]
    turns = np.angle((after * before.conj()).sum((1, 2))) / (2 * np.pi)
    assert np.abs(after - before * np.exp(2j * np.pi * turns)[:, None, None]).max() < 1  # colorsys has two digits
    spread_over(turns, -0.2, 0.2)


def test_the_color_matrix():
    colors = np.random.default_rng(1).uniform(0, 255, (50, 3))
    gray = (colors @ LUMA)[:, None]

    def changed(saturation, hue, colors=colors):
        return colors @ color_matrix(saturation, hue).numpy().astype(float)

    assert np.allclose(changed(1.0, 0.0), colors, atol=1e-3)
    assert np.allclose(changed(0.0, 0.3), gray, atol=1e-2)
    assert np.allclose(changed(0.4, 0.0), gray + 0.4 * (colors - gray), atol=1e-2)
    third = functools.partial(changed, 1.0, 1 / 3)
    assert np.allclose(third(third(third())), colors, atol=1e-2)
    assert np.abs(third() - colors).max() > 50
    assert np.allclose(changed(1.7, 0.2) @ LUMA, gray[:, 0], atol=1e-2)


def test_all_changes_are_one_affine_map_clipped_at_its_end():
    image = photo(SIDE, SIDE, 0, 255).astype(np.float64)
    seed = tf.constant([5, 6])
    draws = tf.random.stateless_uniform([4], tf.random.split(seed, 3)[2]).numpy().astype(np.float64)
    contrast, saturation, _, brightness = 1 + np.array([0.9, 0.8, 0.0, 1.0]) * (2 * draws - 1)
    mean = image.mean((0, 1))
    stretched = (image - mean) * contrast + mean
    gray = (stretched @ LUMA)[..., None]
    expected = np.clip(gray + saturation * (stretched - gray) + 255 * (brightness - 1), 0, 255)
    config = CropConfig(**STILL, contrast=0.9, saturation=0.8, brightness=1.0)
    assert (expected == 0).any() or (expected == 255).any()
    ours = varied(encode(image.astype(np.uint8)), RAW, config, (5, 6))
    assert np.abs(ours - expected).max() < 1e-2
    normalized = varied(encode(image.astype(np.uint8)), VGG, config, (5, 6))
    assert np.allclose(normalized, ours - np.float32(VGG.offset), atol=1e-4)


def inception_formula(image: np.ndarray, seed, fast: bool) -> np.ndarray:
    """Apply the zoo's operations to an image with the draws of this seed, in the zoo's order."""
    seeds = tf.random.split(tf.constant(seed), 3)
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        image.shape,
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seeds[0],
        min_object_covered=0.1,
        aspect_ratio_range=(0.75, 1.33),
        area_range=(0.05, 1.0),
        max_attempts=100,
    )
    flip, method, order, brightness, saturation, hue, contrast = tf.random.stateless_uniform([7], seeds[1]).numpy()
    x = tf.slice(tf.image.convert_image_dtype(image, tf.float32), begin, extent)
    x = tf.compat.v1.image.resize_images(x, [SIDE, SIDE], 0 if fast else int(method * 4))
    x = x[:, ::-1] if flip < 0.5 else x
    steps = {
        "b": lambda x: tf.image.adjust_brightness(x, (2 * brightness - 1) * 32 / 255),
        "s": lambda x: tf.image.adjust_saturation(x, 0.5 + saturation),
        "h": lambda x: tf.image.adjust_hue(x, (2 * hue - 1) * 0.2),
        "c": lambda x: tf.image.adjust_contrast(x, 0.5 + contrast),
    }
    for step in (["bs", "sb", "sb", "sb"] if fast else ["bshc", "sbch", "chbs", "hscb"])[int(order * 4)]:
        x = steps[step](x)
    return ((tf.clip_by_value(x, 0.0, 1.0) - 0.5) * 2).numpy()


@pytest.mark.parametrize("fast", [True, False])
def test_inception_equals_the_zoo(fast):
    image = photo(70, 90)
    wanted = Preprocessing(input_px=SIDE, offset=127.5, scale=127.5)
    for number in range(24):
        ours = varied(encode(image), wanted, InceptionConfig(fast=fast), (number, 11))
        assert np.abs(ours - inception_formula(image, (number, 11), fast)).max() < 1e-4


def test_inceptions_brightness_on_gray():
    gray = np.full((SIDE, SIDE, 3), 128, np.uint8)
    added = many(encode(gray), InceptionConfig(), 150) - 128
    assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-3
    spread_over(added.mean((1, 2, 3)), -32, 32)


def legacy(image: np.ndarray, side: int) -> np.ndarray:
    for _ in range(2):
        source = np.arange(side) * (len(image) / side)
        low = np.floor(source).astype(int)
        weight = (source - low)[:, None, None]
        image = image[low] * (1 - weight) + image[np.minimum(low + 1, len(image) - 1)] * weight
        image = image.transpose(1, 0, 2)
    return image


def test_retrain_without_a_flag_resizes_the_whole_image():
    image = photo(50, 70)
    assert np.abs(varied(encode(image), RAW, RetrainConfig()) - legacy(image.astype(float), SIDE)).max() < 1e-3


def test_retrain_crops_and_scales():
    image = np.zeros((50, 100, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(100), np.arange(50)[:, None]
    results = many(encode(image), RetrainConfig(random_crop=50, random_scale=100), 120)
    sides = 100 / (results[:, 0, 1, 0] - results[:, 0, 0, 0])
    assert np.abs(sides - sides.round()).max() < 0.02
    spread_over(sides, 1.5 * SIDE - 0.5, 3 * SIDE - 0.5)  # rounded down to whole pixels
    left, top = results[:, 0, 0, 0] * sides / 100, results[:, 0, 0, 1] * sides / 50
    for place in (left, top):
        assert np.abs(place - place.round()).max() < 0.02
        spread_over(place / (sides - SIDE), 0, 1)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.8
    side = round(sides[0])
    whole = legacy(image.astype(float), side)
    first, second = round(top[0]), round(left[0])
    assert np.abs(results[0] - whole[first : first + SIDE, second : second + SIDE]).max() < 1e-3


def test_retrain_multiplies_and_does_not_clip():
    white = np.full((9, 9, 3), 255, np.uint8)
    factors = many(encode(white), RetrainConfig(random_brightness=40), 150) / 255
    assert np.ptp(factors, axis=(1, 2, 3)).max() < 1e-6
    spread_over(factors.mean((1, 2, 3)), 0.6, 1.4)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_none_is_preprocessing(kind, wanted):
    image = encode(photo(50, 70), kind)
    assert np.array_equal(varied(image, wanted, AugmentationConfig()), prepare(image, wanted))


@pytest.mark.slow
@pytest.mark.parametrize("option", VARIED)
def test_formats_and_exif_make_no_difference(option):
    noise = np.random.default_rng(1).integers(0, 256, (45, 64, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg, turned = encode(noise, "JPEG", subsampling="4:2:0"), encode(noise, "JPEG", exif=exif, subsampling="4:2:0")
    pixels = tf.io.decode_jpeg(jpeg, channels=3).numpy()
    upright = np.rot90(pixels, -1)
    for number in range(3):
        seed = (number, 1)
        png = varied(encode(pixels), LITE, OPTIONS[option], seed)
        assert np.array_equal(varied(jpeg, LITE, OPTIONS[option], seed), png)
        assert np.array_equal(varied(encode(pixels, "BMP"), LITE, OPTIONS[option], seed), png)
        assert np.array_equal(
            varied(turned, LITE, OPTIONS[option], seed), varied(encode(upright), LITE, OPTIONS[option], seed)
        )
    paletted = np.asarray(Image.open(io.BytesIO(encode(pixels, "GIF"))).convert("RGB"))
    assert np.array_equal(
        varied(encode(pixels, "GIF"), LITE, OPTIONS[option]), varied(encode(paletted), LITE, OPTIONS[option])
    )


def test_exif_is_ignored_if_the_preprocessing_ignores_it():
    exif = Image.Exif()
    exif[0x0112] = 6
    image, ignoring = photo(45, 64), dataclasses.replace(LITE, orientation="ignore")
    turned = varied(encode(image, "JPEG", exif=exif), ignoring, CropConfig())
    assert np.array_equal(turned, varied(encode(image, "JPEG"), ignoring, CropConfig()))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
@pytest.mark.parametrize("option", VARIED)
def test_no_image_is_too_small_or_too_long(option, size, kind):
    results = [varied(encode(photo(*size), kind), LITE, OPTIONS[option], (number, 3)) for number in range(3)]
    assert all(one.shape == (SIDE, SIDE, 3) and one.dtype == np.float32 and np.isfinite(one).all() for one in results)


@functools.cache
def photos() -> list[bytes]:
    return [encode(photo(40 + number, 60), "JPEG" if number % 3 else "PNG") for number in range(12)]


def through_tf_data(option: str, views: list[tuple[int, int]], calls: int) -> dict[tuple[int, int], bytes]:
    """Augment these views, each (photo number, epoch), in this order; return the bytes of each."""

    @tf.autograph.experimental.do_not_convert
    def prepared(view, encoded):
        return view, augment(encoded, LITE, OPTIONS[option], image_seed(7, view[0], view[1]))

    records = tf.data.Dataset.from_tensor_slices((np.int64(views), [photos()[number] for number, _ in views]))
    images = records.map(prepared, num_parallel_calls=calls, deterministic=False)
    return {
        tuple(view): image.tobytes()
        for some in images.batch(5).with_options(without_autotune()).as_numpy_iterator()
        for view, image in zip(some[0].tolist(), some[1], strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_an_images_draws_depend_only_on_its_number_and_the_epoch(option):
    first = through_tf_data(option, [(number, epoch) for epoch in range(2) for number in range(12)], 1)
    again = through_tf_data(option, [(7, 1), (3, 0), (11, 1), (0, 0), (5, 0), (7, 0)], 2)
    assert again == {view: first[view] for view in again}
    changed = sum(first[number, 0] != first[number, 1] for number in range(12))
    assert changed == 0 if option == "none" else changed >= 10


@pytest.mark.parametrize("option", OPTIONS)
def test_real_photos_have_the_networks_input_range(option, flower_photos):
    for path in sorted(flower_photos.glob("*/*.jpg"))[::1500]:
        image = varied(path.read_bytes(), LITE, OPTIONS[option])
        assert image.shape == (SIDE, SIDE, 3)
        assert -1.6 < image.min() < image.max() < 1.6
        assert image.std() > 0.05
