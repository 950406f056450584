"""Near-duplicates: exactly the right pairs are found, and photos that look the same have similar hashes."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slimline.stages.data.checking import near_duplicates as twins
from slimline.stages.data.checking.near_duplicates import MOST_ALIKE, near_pairs, perceptual_hash


def brute_force(hashes: np.ndarray, most_bits: int) -> list[tuple[int, int, int]]:
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    first, second = np.nonzero(np.triu(bits <= most_bits, 1))
    return [(int(one), int(two), int(bits[one, two])) for one, two in zip(first, second, strict=True)]


def found_pairs(hashes: np.ndarray, most_bits: int) -> list[tuple[int, int, int]]:
    return list(zip(*(part.tolist() for part in near_pairs(hashes, most_bits)), strict=True))


@st.composite
def clustered(draw):
    """Draw hashes, many of which differ from another one in a few bits."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    count = draw(st.sampled_from([0, 1, 2, 3, 20, 100, 300]))
    centers = random.integers(0, 1 << 64, draw(st.integers(1, 20)), dtype=np.uint64)
    hashes = random.choice(centers, count)
    for _ in range(draw(st.integers(0, 6))):
        hashes ^= random.integers(0, 2, count, dtype=np.uint64) << random.integers(0, 64, count, dtype=np.uint64)
    return hashes


@settings(max_examples=100, deadline=None)
@given(hashes=clustered(), most_bits=st.integers(0, 10), block=st.sampled_from([1, 100, twins.PAIRS_AT_ONCE]))
def test_pairs_are_those_of_brute_force(hashes, most_bits, block):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(twins, "PAIRS_AT_ONCE", block)
        assert found_pairs(hashes, most_bits) == brute_force(hashes, most_bits)


def test_pairs_at_the_edge_of_bands_and_in_the_highest_bits_are_found():
    hashes = np.array([0, 1 << 63, (1 << 63) | 1, (1 << 64) - 1, (1 << 64) - 1], np.uint64)
    assert found_pairs(hashes, 1) == [(0, 1, 1), (1, 2, 1), (3, 4, 0)]
    assert found_pairs(hashes, 0) == [(3, 4, 0)]


def test_a_hash_that_too_many_photos_share_is_not_compared():
    alike = np.full(MOST_ALIKE, 5, np.uint64)
    assert len(near_pairs(alike, 2)[0]) == MOST_ALIKE * (MOST_ALIKE - 1) // 2
    assert found_pairs(np.concatenate([alike, np.array([5, 99, 98], np.uint64)]), 2) == [
        (MOST_ALIKE + 1, MOST_ALIKE + 2, 1)
    ]


def test_a_hundred_thousand_hashes_take_seconds():
    hashes = np.random.default_rng(0).integers(0, 1 << 64, 100_000, dtype=np.uint64)
    hashes[-1] = hashes[0] ^ np.uint64(0b111111)
    started = time.process_time()
    assert found_pairs(hashes, 6) == [(0, 99_999, 6)]
    assert time.process_time() - started < 8  # 0.3 seconds on an idle machine


def picture(seed: int, width: int = 240, height: int = 180) -> Image.Image:
    """Draw soft blobs, like the shapes in photos, rather than noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def hash_of(image: Image.Image) -> int:
    found = perceptual_hash(np.asarray(image.convert("L")))
    assert found is not None
    return found


def re_encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.mark.parametrize("seed", range(5))
def test_pictures_that_look_the_same_differ_in_few_bits(seed):
    image = picture(seed)
    own = hash_of(image)
    for other in (
        re_encoded(image, 40),
        image.resize((120, 90)),
        image.resize((500, 375)),
        image.point(lambda value: value * 0.8 + 10),
    ):
        assert (own ^ hash_of(other)).bit_count() <= 4


def test_pictures_that_look_different_differ_in_many_bits():
    hashes = [hash_of(picture(seed)) for seed in range(30)]
    assert min((one ^ two).bit_count() for i, one in enumerate(hashes) for two in hashes[:i]) > 10


def test_a_flat_picture_has_no_hash():
    assert perceptual_hash(np.full((50, 60), 128, np.uint8)) is None
    assert perceptual_hash(np.full((1, 1), 0, np.uint8)) is None
    faint = np.full((64, 64), 100, np.uint8)
    faint[:, 32:] = 104
    assert perceptual_hash(faint) is None
    faint[:, 32:] = 130
    assert perceptual_hash(faint) is not None
