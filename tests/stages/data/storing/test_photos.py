"""Photos by number: the bytes, labels and keys in the shards, in any order."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing.photos import Photos
from slimline.stages.data.storing.records import read_batches


@pytest.fixture(scope="module", params=SPLITS)
def split(request):
    return request.param


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    """Ingest sixty photos, in several shards per split."""
    from slimline.stages.data.config import IngestConfig
    from slimline.stages.data.settle import settle_source
    from slimline.stages.ingest import ingest

    folder, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("ingest")
    for number in range(60):
        path = folder / ("ant", "bee", "cat")[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16 + number, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    ingest.function(settle_source(IngestConfig(images=str(folder), seed=0), False), out)
    return out


@pytest.fixture(scope="module")
def records(ingest, split):
    """Return the split's records, as read sequentially."""
    batches = list(read_batches(ingest, split, ("encoded", "label", "sha256")).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def test_photos_are_those_of_the_shards_in_their_order(ingest, split, records):
    photos = Photos(ingest, split)
    assert len(photos) == len(records["label"]) > 0
    assert [photos.encoded(number) for number in range(len(photos))] == records["encoded"].tolist()
    assert photos.labels.tolist() == records["label"].tolist()
    assert photos.numbers.tolist() == [int(name.decode()[:16], 16) // 2 for name in records["sha256"]]
    assert photos.keys == [hashlib.sha256(encoded).hexdigest() for encoded in records["encoded"]]


def test_numbers_fit_and_tell_photos_apart(ingest):
    numbers = np.concatenate([Photos(ingest, split).numbers for split in SPLITS])
    assert numbers.dtype == np.int64
    assert numbers.min() >= 0
    assert len(set(numbers.tolist())) == 60


def test_a_dataset_follows_any_order(ingest, split, records):
    photos = Photos(ingest, split)
    wanted = np.random.default_rng(0).integers(len(photos), size=2 * len(photos))
    found = list(photos.dataset(wanted).as_numpy_iterator())
    assert [record["place"] for record in found] == wanted.tolist()
    assert [record["encoded"] for record in found] == records["encoded"][wanted].tolist()
    assert [record["label"] for record in found] == records["label"][wanted].tolist()
    assert [record["number"] for record in found] == photos.numbers[wanted].tolist()


def test_several_shards_are_read(ingest):
    shards = set(pq.read_table(ingest / "index.parquet", columns=["shard"])["shard"].to_pylist())
    assert len(shards) > 3


FAULTS = """
import resource, sys
from pathlib import Path
import numpy as np
from slimline.stages.data.storing.photos import Photos

def pages_mapped():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.full(1 << 20, 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages_mapped()
assert len(list(Photos(Path(sys.argv[1]), "train").dataset([0, 1]))) == 2
print(pages_mapped())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="specific to glibc's malloc")
def test_large_blocks_of_memory_are_still_reused_after_reading(ingest):
    """After one of TensorFlow's datasets from generators, malloc maps each block of 8 MB separately: 2,048 pages."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, str(ingest)], capture_output=True, encoding="utf-8", check=True
    )
    assert int(done.stdout) < 20 * 2048 / 4
