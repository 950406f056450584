"""Features with a memo: only new photos are computed, and the files are the same as without the memo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.memo import Memo
from slimline.stages.backend.tensorflow import tf
from slimline.stages.base import base as base_stage
from slimline.stages.data import bottlenecks as module
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.features_config import FeaturesConfig, Precision
from slimline.stages.data.settle import settle_source
from slimline.stages.data.splitting.config import SPLITS, SplitConfig
from slimline.stages.data.storing.features import FeaturePhotos, missing_photos, read_features
from slimline.stages.data.storing.photo_cache import PhotoCache
from slimline.stages.features import features
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.ingest import ingest
from slimline.stages.models.base_config import MobilenetConfig
from slimline.stages.models.base_settle import settle_weights
from slimline.stages.models.card import Card, write_card

pytestmark = pytest.mark.slow

SIDE = 16
SEEN = Preprocessing(input_px=SIDE, crop="whole", offset=128.0, scale=64.0)
CONFIG = FeaturesConfig(precision=Precision.float32, batch_size=8)


def draw(folder: Path, first: int, count: int) -> None:
    for number in range(first, first + count):
        path = folder / ("ant", "bee")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def ingested(folder: Path, out: Path, salt: str = "") -> Artifact:
    out.mkdir()
    settled = settle_source(IngestConfig(images=str(folder), seed=0, split=SplitConfig(salt=salt)), False)
    return Artifact("ingest", "k", 1, out, "d", 0.0, ingest(settled, out), {})


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> dict[str, Artifact]:
    """Ingest forty photos, with two salts, and with five more photos."""
    folder = tmp_path_factory.mktemp("photos")
    draw(folder / "some", 0, 40)
    draw(folder / "more", 0, 45)
    found = {name: ingested(folder / "some", folder / f"out{name}", name) for name in ("", "7")}
    found["more"] = ingested(folder / "more", folder / "outmore")
    assert [found[name].facts["photos"] for name in ("", "7", "more")] == [40, 40, 45]
    return found


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Artifact:
    """Make a base whose features are an image's mean colors."""
    (tmp_path / "base").mkdir()
    write_card(tmp_path / "base", Card("mobilenet_v1", SEEN, [], None, "random", ""))
    monkeypatch.setattr(module, "make_bottleneck", lambda base: lambda images: tf.reduce_mean(images, [1, 2]))
    return Artifact("base", "k", 1, tmp_path / "base", "base 1", 0.0, {"feature_width": 3}, {})


class Work:
    """Runs the stage, each time into a new folder, with the same memo unless another is named."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def __call__(self, ingest: Artifact, base: Artifact, memory: str = "memory", config=CONFIG, code=None):
        """Return the number of computed photos, the facts, and the folder."""
        self.count += 1
        out = self.folder / str(self.count)
        out.mkdir()
        memo = Memo(self.folder / memory, code or {"slimline.stages.features": "1"}, {})
        facts = features(config, out, ingest=ingest, base=base, memo=memo)
        return memo.notes["computed"], facts, out


@pytest.fixture
def work(tmp_path) -> Work:
    return Work(tmp_path)


def contents(out: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(found) == ["test.arrow", "train.arrow", "validation.arrow"]
    return found


def lasting(facts):
    return {name: value for name, value in facts.items() if not name.endswith(("_seconds", "_per_second"))}


def check_rows(photos: Artifact, out: Path) -> None:
    """Compare each row with its photo's mean colors, and with the index."""
    rows = {row["sha256"]: row for row in pq.read_table(photos.path / "index.parquet").to_pylist()}
    names = []
    for split in SPLITS:
        table = pa.ipc.open_file(str(out / f"{split}.arrow")).read_all()
        assert table.schema == pa.schema(
            [("sha256", pa.string()), ("label", pa.int64()), ("features", pa.list_(pa.float32(), 3))]
        )
        for row in table.to_pylist():
            about = rows[row["sha256"]]
            number = int(Path(about["path"]).stem)
            assert (about["split"], ["ant", "bee"].index(about["label"])) == (split, row["label"])
            pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            assert row["features"] == pytest.approx((pixels.mean(axis=(0, 1)) - 128) / 64, abs=1e-5)
            names.append(number)
    assert sorted(names) == list(range(photos.facts["photos"]))


def test_each_record_has_the_features_of_its_photo(photos, toy, work):
    computed, facts, out = work(photos[""], toy)
    assert computed == 40
    assert lasting(facts) == {"images": 40, "width": 3, "precision": "float32"}
    assert facts["images_per_second"] > 0
    check_rows(photos[""], out)


def test_another_split_computes_nothing_and_builds_no_base(photos, toy, work, monkeypatch):
    work(photos[""], toy)

    def refuse(base):
        raise AssertionError("the base was built")

    monkeypatch.setattr(module, "make_bottleneck", refuse)
    computed, facts, out = work(photos["7"], toy)
    assert computed == 0
    assert lasting(facts) == {"images": 40, "width": 3, "precision": "float32"}
    assert facts["images_per_second"] is None
    check_rows(photos["7"], out)


def test_five_more_photos_compute_five(photos, toy, work):
    work(photos[""], toy)
    computed, facts, out = work(photos["more"], toy)
    assert (computed, facts["images"]) == (5, 45)
    check_rows(photos["more"], out)
    assert work(photos["more"], toy)[0] == 0


def test_everything_that_features_depend_on_computes_all_again(photos, toy, work):
    assert work(photos[""], toy)[0] == 40
    assert work(photos[""], replace(toy, digest="base 2"))[0] == 40
    assert work(photos[""], toy, code={"slimline.stages.features": "2"})[0] == 40
    assert work(photos[""], toy, config=replace(CONFIG, precision=Precision.bfloat16))[0] == 40
    assert work(photos[""], toy, config=replace(CONFIG, batch_size=7))[0] == 40
    assert work(photos[""], replace(toy, key="k2", path=toy.path))[0] == 0


FLIPPED = replace(CONFIG, flips=True)


@pytest.fixture
def toy_left(toy, monkeypatch) -> Artifact:
    """Make a base whose features are the mean colors of an image's left half."""
    monkeypatch.setattr(
        module, "make_bottleneck", lambda base: lambda images: tf.reduce_mean(images[:, :, : SIDE // 2], [1, 2])
    )
    return replace(toy, digest="left")


def check_mirrored(photos: Artifact, out: Path) -> None:
    """Compare each training photo's features with its left half, and those of its mirror image with its right half."""
    paths = {row["sha256"]: row["path"] for row in pq.read_table(photos.path / "index.parquet").to_pylist()}
    plain, flipped = (
        pa.ipc.open_file(str(out / f"{name}.arrow")).read_all().to_pylist() for name in ("train", "train_mirrored")
    )
    assert len(plain) == len(flipped) == photos.facts["train"]
    for one, other in zip(plain, flipped, strict=True):
        assert (one["sha256"], one["label"]) == (other["sha256"], other["label"])
        number = int(Path(paths[one["sha256"]]).stem)
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        for found, half in ((one, pixels[:, : SIDE // 2]), (other, pixels[:, SIDE // 2 :])):
            assert found["features"] == pytest.approx((half.mean(axis=(0, 1)) - 128) / 64, abs=1e-5)


def test_with_flips_the_mirror_images_of_training_photos_have_features(photos, toy_left, work):
    computed, facts, out = work(photos[""], toy_left, config=FLIPPED)
    train = photos[""].facts["train"]
    assert computed == 40 + train
    assert lasting(facts) == {"images": 40, "mirrored": train, "width": 3, "precision": "float32"}
    assert sorted(path.stem for path in out.iterdir()) == ["test", "train", "train_mirrored", "validation"]
    check_mirrored(photos[""], out)


def test_flips_only_add_a_file_and_compute_only_what_is_missing(photos, toy_left, work):
    _, facts, plain = work(photos[""], toy_left)
    assert "mirrored" not in facts
    computed, _, both = work(photos[""], toy_left, config=FLIPPED)
    assert computed == photos[""].facts["train"]
    for name, content in contents(plain).items():
        assert (both / name).read_bytes() == content
    computed, _, again = work(photos[""], toy_left)
    assert computed == 0
    assert contents(again) == contents(plain)
    assert work(photos[""], toy_left, config=FLIPPED)[0] == 0
    computed, _, other = work(photos["7"], toy_left, config=FLIPPED)  # training photos of another split
    assert 0 < computed < photos["7"].facts["train"]
    check_mirrored(photos["7"], other)


def test_a_photo_that_exif_turns_is_mirrored_as_it_is_seen(tmp_path, monkeypatch, work):
    """Store a photo on its side, with EXIF's orientation 6: the left half of its mirror image is its right half."""
    upright = np.zeros((SIDE, SIDE, 3), np.uint8)
    upright[:, SIDE // 2 :] = 240  # the right half is bright
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(12):
        seen = upright.copy()
        seen[: number + 1, :4] = 100
        path = tmp_path / "photos" / ("ant", "bee")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rot90(seen)).save(path, exif=exif, quality=100, subsampling=0)
    (tmp_path / "base").mkdir()
    write_card(tmp_path / "base", Card("mobilenet_v1", SEEN, [], None, "random", ""))
    monkeypatch.setattr(
        module, "make_bottleneck", lambda base: lambda images: tf.reduce_mean(images[:, :, : SIDE // 2], [1, 2])
    )
    base = Artifact("base", "k", 1, tmp_path / "base", "base", 0.0, {"feature_width": 3}, {})
    _, _, out = work(ingested(tmp_path / "photos", tmp_path / "ingested"), base, config=FLIPPED)
    (plain, _), (flipped, _) = (read_features(out / f"{name}.arrow") for name in ("train", "train_mirrored"))
    assert len(plain) == len(flipped) > 0
    assert plain.max() < 0
    assert flipped == pytest.approx(np.full(flipped.shape, (240 - 128) / 64), abs=0.05)


def test_a_failure_halfway_keeps_the_computed_features(photos, toy, work, monkeypatch):
    calls = []

    def fail_late(images):
        calls.append(len(images))
        if len(calls) == 5:
            raise ZeroDivisionError("in a batch")
        return tf.reduce_mean(images, [1, 2])

    whole = module.make_bottleneck
    monkeypatch.setattr(module, "make_bottleneck", lambda base: fail_late)
    with pytest.raises(ZeroDivisionError):
        work(photos[""], toy)
    monkeypatch.setattr(module, "make_bottleneck", whole)
    computed, _, out = work(photos[""], toy)
    assert 0 < computed < 40
    check_rows(photos[""], out)


def test_a_damaged_memo_is_computed_again(photos, toy, work):
    _, _, first = work(photos[""], toy)
    [part] = work.folder.glob("memory/*/part-*.arrow")
    part.write_bytes(part.read_bytes()[:-20])
    computed, _, out = work(photos[""], toy)
    assert computed == 40
    assert contents(out) == contents(first)
    assert work(photos["7"], toy)[0] == 0


def test_a_duplicate_photo_is_computed_once(tmp_path):
    cache = PhotoCache(tmp_path, (1,), "float32")
    with cache.writing() as add:
        add(["known"], np.zeros((1, 1), np.float32))
    names = {"train": ["a", "known", "b", "a"], "validation": ["b", "c"], "test": []}
    photos = {split: FeaturePhotos(keys, keys, [0] * len(keys)) for split, keys in names.items()}
    marks = {split: own.tolist() for split, own in missing_photos(photos, cache).items()}
    assert marks == {"train": [True, False, True, False], "validation": [False, True], "test": []}


def test_features_are_read_back(photos, toy, work):
    _, _, out = work(photos[""], toy)
    values, labels = read_features(out / "train.arrow")
    assert values.shape == (photos[""].facts["train"], 3)
    assert labels.tolist() == pa.ipc.open_file(str(out / "train.arrow")).read_all()["label"].to_pylist()


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory) -> Artifact:
    out = tmp_path_factory.mktemp("mobilenet")
    config = MobilenetConfig(network="mobilenet_v1", multiplier=0.25, size=64, weights="random", seed=3)
    return Artifact("base", "k", 1, out, "mobilenet", 0.0, base_stage(settle_weights(config, False), out), {})


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_a_networks_features_are_the_same_to_the_last_bit_with_and_without_a_memo(photos, mobilenet, work, precision):
    config = replace(CONFIG, precision=precision)
    computed, facts, alone = work(photos["more"], mobilenet, "none yet", config)
    assert computed == 45
    assert work(photos["7"], mobilenet, "memory", config)[0] == 40  # in other batches
    computed, helped_facts, helped = work(photos["more"], mobilenet, "memory", config)
    assert computed == 5
    assert contents(helped) == contents(alone)
    assert lasting(helped_facts) == lasting(facts)
    assert np.std(read_features(alone / "train.arrow")[0], axis=0).max() > 0
