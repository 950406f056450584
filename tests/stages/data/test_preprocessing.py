"""Preprocessing against NumPy written from the formula."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from stages.data.preprocessing import Preprocessing, preprocess, preprocess_batch
from stages.tensorflow import tf

WANTED = Preprocessing(input_px=32, crop_fraction=0.875, offset=127.0, scale=128.0)


def encoded(image: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5, which TensorFlow's resize uses."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resize_rows(image: np.ndarray, rows: int) -> np.ndarray:
    centres = (np.arange(rows) + 0.5) * len(image) / rows - 0.5
    weights = cubic(centres[:, None] - np.arange(len(image))[None])
    weights /= weights.sum(axis=1, keepdims=True)
    return np.tensordot(weights, image, 1)


def from_the_formula(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = int(np.float32(min(height, width)) * np.float32(0.875))
    top, left = (height - side) // 2, (width - side) // 2
    crop = image[top : top + side, left : left + side].astype(np.float64)
    resized = resize_rows(resize_rows(crop, 32).transpose(1, 0, 2), 32).transpose(1, 0, 2)
    return (resized - 127) / 128


@pytest.fixture
def photo():
    random = np.random.default_rng(3)
    rough = random.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((90, 60), Image.Resampling.BICUBIC))


def test_a_png_follows_the_formula(photo):
    ours = preprocess(tf.constant(encoded(photo, "PNG")), WANTED).numpy()
    assert ours.shape == (32, 32, 3)
    assert np.abs(ours - from_the_formula(photo)).max() < 1e-2  # TensorFlow's bicubic kernel is a table of 1024 steps


def test_a_jpeg_is_cropped_as_it_is_decoded(photo):
    jpeg = encoded(photo, "JPEG")
    whole = tf.io.decode_jpeg(jpeg, channels=3).numpy()
    ours = preprocess(tf.constant(jpeg), WANTED).numpy()
    assert np.abs(ours - from_the_formula(whole)).mean() < 1e-2


def test_grey_and_alpha_come_out_in_three_channels(photo):
    grey = preprocess(tf.constant(encoded(photo[..., 0], "PNG")), WANTED).numpy()
    assert np.array_equal(grey[..., 0], grey[..., 1])
    alpha = np.dstack([photo, np.full(photo.shape[:2], 128, np.uint8)])
    assert preprocess(tf.constant(encoded(alpha, "PNG")), WANTED).shape == [32, 32, 3]


def test_a_batch_is_its_images(photo):
    photos = [encoded(photo, "PNG"), encoded(photo[:40, ::-1], "JPEG")]
    batch = preprocess_batch(tf.constant(photos), WANTED).numpy()
    for row, one in zip(batch, photos, strict=True):
        assert np.array_equal(row, preprocess(tf.constant(one), WANTED).numpy())
