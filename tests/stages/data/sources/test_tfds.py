"""Datasets of tensorflow-datasets: tiny ones, prepared here, without the network."""

from __future__ import annotations

import builtins
import importlib.resources
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.errors import Unavailable, Undecided, UserError
from slimline.stages.data.config import ColumnsConfig, TfdsConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources.kinds import SourceKind
from slimline.stages.data.sources.tfds import prepare
from tests.stages.data.sources.making import (
    CLASSES,
    check_rows,
    content,
    kind_of,
    labels,
    photos,
    picture,
    problems,
    run,
    spooled,
)

tfds = pytest.importorskip("tensorflow_datasets")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tensorflow-datasets from looking for prepared datasets in Google's storage.

    Version 4.9.10 needs a package that it doesn't declare: https://github.com/tensorflow/datasets/issues/11212
    """
    if importlib.util.find_spec("importlib_resources") is None:
        monkeypatch.setitem(sys.modules, "importlib_resources", importlib.resources)
    from tensorflow_datasets.core.utils import gcs_utils

    monkeypatch.setattr(gcs_utils, "gcs_dataset_info_files", lambda name: None)
    monkeypatch.setattr(gcs_utils, "is_dataset_on_gcs", lambda name: False)


class TinyInsects(tfds.core.GeneratorBasedBuilder):
    """The 24 photos in three splits, with more features that come before them in the alphabet."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {
            "amask": tfds.features.Image(shape=(None, None, 1)),
            "aged": tfds.features.ClassLabel(names=["young", "old"]),
            "photo": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "species": tfds.features.ClassLabel(names=list(CLASSES)),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("photo", "species")
        )

    def _split_generators(self, manager: Any) -> Any:
        return {split: self._generate_examples(split) for split in ("test", "train", "validation")}

    def _generate_examples(self, split: str) -> Any:
        import io

        import numpy as np

        for label, given, number, encoded in photos():
            if given == split:
                mask = np.zeros((4, 4, 1), np.uint8)
                yield (
                    f"{label}{number}",
                    {"photo": io.BytesIO(encoded), "species": label, "aged": "old", "amask": mask},
                )


class TinyUnlabeled(tfds.core.GeneratorBasedBuilder):
    """Photos, some of which have no label, as in the test sets of competitions."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {
            "picture": tfds.features.Image(encoding_format="jpeg"),
            "kind": tfds.features.ClassLabel(names=list(CLASSES)),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager: Any) -> Any:
        return {"test": self._generate_examples()}

    def _generate_examples(self) -> Any:
        import io

        for number in range(4):
            yield number, {"picture": io.BytesIO(picture(number)), "kind": number % 2 if number else -1}


class TinySounds(tfds.core.GeneratorBasedBuilder):
    """No photos at all."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"sound": tfds.features.Text()}))

    def _split_generators(self, manager: Any) -> Any:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Any:
        yield 1, {"sound": "moo"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tfds")


def test_a_data_set_is_prepared_once_and_ingested(data_dir: Path, tmp_path: Path) -> None:
    config = TfdsConfig(dataset="tiny_insects", data_dir=str(data_dir), seed=0)
    with pytest.raises(Undecided, match="the dataset tiny_insects would be downloaded and prepared"):
        settle_source(config, True)
    settled = settle_source(config, False)
    assert settled.source == SourceKind.tfds
    assert settled == settle_source(config, True)
    assert kind_of(Path(settled.images or "")) is SourceKind.tfds
    facts, rows = run(settled.images or "", tmp_path / "out")
    check_rows(rows)
    assert facts["split_by"] == "given"


def test_the_image_and_the_label_are_the_supervised_keys_or_the_named_columns(data_dir: Path, tmp_path: Path) -> None:
    folder = prepare("tiny_insects", str(data_dir), False)
    found = spooled(folder, tmp_path)
    assert {photo.label for photo in found} == set(CLASSES)
    assert {content(photo) for photo in found} == {encoded for *_, encoded in photos()}
    others = spooled(folder, tmp_path, columns=ColumnsConfig(label="aged", image="amask"))
    assert {photo.label for photo in others} == {"old"}
    assert {content(photo)[:4] for photo in others} == {b"\x89PNG"}


def test_photos_without_a_label_are_bad_and_a_single_split_states_none(data_dir: Path, tmp_path: Path) -> None:
    found = spooled(prepare("tiny_unlabeled", str(data_dir), False), tmp_path)
    assert sorted(labels(found).values()) == ["ant", "bee", "bee"]
    assert [problem for problem, _ in problems(found).values()] == ["its label is -1, which stands for no label"]
    assert {photo.split for photo in found} == {""}


def test_a_large_image_is_left_out(data_dir: Path, tmp_path: Path) -> None:
    found = spooled(prepare("tiny_unlabeled", str(data_dir), False), tmp_path, most_bytes=10)
    assert sum("more than ingest.max_file_mb allows" in problem for problem, _ in problems(found).values()) == 3


def test_a_damaged_data_set_has_a_row_that_says_so(data_dir: Path, tmp_path: Path) -> None:
    folder = prepare("tiny_insects", str(tmp_path), False)
    [path] = folder.glob("*-train.tfrecord-*")
    path.write_bytes(path.read_bytes()[:-2000])
    found = spooled(folder, tmp_path)
    [problem] = [problem for problem, _ in problems(found).values()]
    assert problem == "the split is damaged here; the rest can't be read"
    assert 8 <= len(labels(found)) < 24


def test_a_data_set_without_photos_is_refused(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no image with a class label; it has: sound"):
        spooled(prepare("tiny_sounds", str(data_dir), False), tmp_path)


@pytest.mark.parametrize("name", ["tiny_nothing", "tiny_insects/large", "tiny_insects:9.9.9", "tiny insects", ""])
def test_an_invalid_name_is_refused(data_dir: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"ingest.dataset={name}: .*\nChoose a name from tfds.list_builders\(\)"):
        prepare(name, str(data_dir), False)


def test_a_package_that_a_data_set_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr(TinySounds, "download_and_prepare", fail)
    with pytest.raises(UserError, match=r"tiny_sounds can't be prepared: No module named 'scipy'.\npip install scipy"):
        prepare("tiny_sounds", str(tmp_path), False)


def test_a_data_set_that_cannot_be_downloaded_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(TinySounds, "download_and_prepare", fail)
    with pytest.raises(Unavailable, match="tiny_sounds can't be prepared: ConnectionError: no route"):
        prepare("tiny_sounds", str(tmp_path), False)


def test_a_missing_tensorflow_datasets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any, **more: Any) -> Any:
        if name == "tensorflow_datasets":
            raise ImportError(name)
        return real(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        UserError, match=r"tensorflow-datasets, which isn't installed.\npip install tensorflow-datasets"
    ):
        prepare("mnist", None, True)
