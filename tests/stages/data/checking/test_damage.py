"""Valid files of every format, damaged at random: a file that ingest accepts must never stop a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.containers import read_jpeg
from slimline.stages.images.orientation import read_orientation
from tests.stages.data.checking.handmade import exif, patched, save, with_segments
from tests.stages.data.checking.hostile import valid
from tests.stages.data.checking.judging import WANTED, as_seen_by_the_network, check
from tests.stages.data.checking.usable import picture
from tests.stages.images.preparing import prepare
from tests.tiers import RELEASE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),  # of damaged files
]

INTERNALS = ("0x", "_io.", "Op:", "function_node", "Error", "jpeg::", "Pillow", "b'")

mutations = settings(deadline=None, max_examples=800 if RELEASE else 200)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "file"


def assert_sound(encoded: bytes, file: Path) -> None:
    """Check that a file is used or refused in plain words, and that a used one can be trained on."""
    found = check(encoded, file)
    assert len(found.reason) < 160
    assert not any(word in found.reason for word in INTERNALS)
    if not found.reason:
        stored = found.encoded or encoded
        prepared = prepare(stored, WANTED)
        assert prepared.shape == (32, 32, 3)
        assert np.isfinite(prepared).all()
        assert as_seen_by_the_network(stored).shape == (found.height, found.width, 3)


fractions = st.floats(0, 1, exclude_max=True)
files = st.sampled_from(sorted(valid())).map(lambda name: valid()[name])


@given(files, st.lists(st.tuples(fractions, st.booleans(), st.integers(0, 255)), min_size=1, max_size=8))
@mutations
def test_flipped_bytes_are_found_or_harmless(scratch, encoded, changes):
    for where, in_header, value in changes:
        at = int(where * min(len(encoded), 100 if in_header else len(encoded)))
        encoded = patched(encoded, at, bytes([value]))
    assert_sound(encoded, scratch)


@given(files, fractions, files, fractions)
@mutations
def test_two_files_spliced_are_found_or_harmless(scratch, first, end, second, start):
    assert_sound(first[: int(end * len(first))] + second[int(start * len(second)) :], scratch)


@given(files, fractions, st.integers(1, 40))
@mutations
def test_missing_bytes_are_found_or_harmless(scratch, encoded, where, count):
    at = int(where * len(encoded))
    assert_sound(encoded[:at] + encoded[at + count :], scratch)


@given(files, st.integers(2, 60), st.binary(max_size=300))
@mutations
def test_noise_after_a_good_start_is_found_or_harmless(scratch, encoded, kept, noise):
    assert_sound(encoded[:kept] + noise, scratch)


small = st.integers(0, 12)
entries = st.tuples(st.sampled_from([0x112, 0x100]), small, st.integers(0, 2), small)


@given(
    st.lists(entries, max_size=3), st.sampled_from("<>"), small, st.none() | small, st.lists(st.tuples(small, small))
)
@example([(0x112, 3, 1, 6)], ">", 8, None, [])
@mutations
def test_the_orientation_is_the_one_that_the_network_reads(tags, order, directory, count, changes):
    jpeg = with_segments(save(picture(), "JPEG"), exif(tags, order, directory, count))
    for at, value in changes:
        jpeg = patched(jpeg, 2 + 3 * at, bytes([value]))
    try:
        found = read_jpeg(jpeg).orientation
    except ValueError:
        return
    assert found == orientation_in_graph(jpeg).numpy()


@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
def orientation_in_graph(encoded):
    return read_orientation(encoded)
