"""The page that runs an exported model in a browser: it preprocesses photos as the model expects them."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.images.preprocessing_config import Preprocessing
from tests.browser import accessibility_faults, needs_browser, opened

PAGE = Path(__file__).parents[2] / "docs/browser/index.html"
PREPARE = """async ([encoded, wanted]) => {
    const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
    return Array.from(await prepare(new Blob([bytes]), wanted));
}"""
TABLE_ERROR = 0.2
"""The largest error on noise, of 255: TensorFlow reads the cubic's weights from a table of 1,024 positions."""
WAYS = [
    Preprocessing(input_px=24, offset=127.0, scale=128.0),
    Preprocessing(input_px=80, crop="whole", offset=(120.0, 110.0, 100.0), scale=1.0),
    Preprocessing(input_px=31, crop="each_side", resize="legacy_bilinear", offset=127.5, scale=127.5),
]


@pytest.fixture(scope="module")
def page():
    with opened() as found:
        found.goto(PAGE.as_uri())
        yield found


@needs_browser
@pytest.mark.parametrize("wanted", WAYS, ids=lambda one: f"{one.crop} {one.resize}")
@pytest.mark.parametrize("size", [(40, 61), (57, 30)])
def test_a_photo_is_preprocessed_as_in_the_graph(page, wanted, size):
    pixels = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
    encoded = tf.io.encode_png(pixels).numpy()
    found = page.evaluate(PREPARE, [base64.b64encode(encoded).decode(), vars(wanted)])
    expected = preprocess(tf.constant(encoded), wanted).numpy()
    atol = TABLE_ERROR / wanted.scale
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=atol, rtol=0)


@needs_browser
def test_an_unknown_preprocessing_is_an_error(page):
    wanted = vars(Preprocessing(input_px=24, crop="vgg", resize="legacy_bilinear", offset=0.0, scale=1.0))
    encoded = base64.b64encode(tf.io.encode_png(np.zeros((9, 9, 3), np.uint8)).numpy()).decode()
    with pytest.raises(Exception, match="does not support crop=vgg"):
        page.evaluate(PREPARE, [encoded, wanted])


@needs_browser
def test_without_its_runtime_the_page_shows_an_error(page):
    assert page.locator("#state").inner_text() == "The model cannot be loaded: ort is not defined"
    assert accessibility_faults(page) == []
