"""A toy network and toy photos, which the real stages train in milliseconds per step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.stages.backend.slim import slim
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.features_config import FeaturesConfig, Precision
from slimline.stages.data.settle import settle_source
from slimline.stages.features import features
from slimline.stages.head import head
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.ingest import ingest
from slimline.stages.models.assemble import base_network, build, classifier_network
from slimline.stages.models.card import Card, input_shape, write_card
from slimline.stages.models.head_config import HeadConfig, MlpConfig
from slimline.stages.models.trained import TrainedModel, initial_weights
from slimline.stages.networks.architectures.blocks import mobile_scope
from slimline.stages.networks.architectures.top import add_top
from slimline.stages.networks.graphs.module import freeze
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.checkpoint import read_checkpoint, write_checkpoint
from slimline.stages.train import train
from slimline.stages.training.config import CacheConfig, FusedConfig, PhaseConfig, Switch, TrainConfig
from slimline.stages.training.optimizer_config import MomentumConfig
from slimline.stages.training.schedule_config import Schedule

SIDE, WIDTH = 32, 12
CLASSES = {"ant": (190, 80, 80), "bee": (80, 190, 80), "cat": (80, 80, 190)}
SEEN = Preprocessing(input_px=SIDE, crop="whole", offset=128.0, scale=64.0)
FUSED = FusedConfig(
    batch_norm=Switch.always,
    pointwise=Switch.always,
    bfloat16=Switch.never,
    xla=Switch.never,
    epoch=Switch.always,
)
CACHE = CacheConfig(views=3, bfloat16=Switch.never, batch_size=8)
MEASURES = ("loss", "accuracy", "validation_loss", "validation_accuracy", "gradient_norm", "learning_rate")


def toy_network(images: Any, *, is_training: bool = False, num_classes: int | None = None) -> tuple[Any, Any]:
    """Build three blocks of MobileNet layers, `Toy/Conv_0` to `Toy/Conv_2`."""
    end_points: dict[str, Any] = {}
    with mobile_scope("Toy", is_training=is_training, decay=0.9):
        net = slim.conv2d(images, 8, [3, 3], stride=2, scope="Conv_0")
        net = slim.separable_conv2d(net, None, [3, 3], 1, stride=2, scope="Conv_1_depthwise")
        net = slim.conv2d(net, 8, [1, 1], scope="Conv_1_pointwise")
        net = slim.conv2d(net, WIDTH, [3, 3], scope="Conv_2")
        net = add_top(net, end_points, num_classes=num_classes, is_training=is_training)
    return net, end_points


TOY = replace(
    NETWORKS["mobilenet_v1"],
    function=f"{__name__}:toy_network",
    scope="Toy",
    upper="Conv_1_pointwise",
    preprocessing=SEEN,
    multipliers=(1.0,),
)


def draw_photos(folder: Path, count: int) -> None:
    """Draw photos of noise around each class's color, which small networks learn to classify in a few epochs."""
    for number in range(count):
        draw = np.random.default_rng(number)
        name = list(CLASSES)[number % len(CLASSES)]
        pixels = draw.normal(CLASSES[name], 75, (SIDE, SIDE, 3)) + draw.normal(0, 40, 3)
        path = folder / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def ingested(folder: Path, count: int = 84) -> Artifact:
    """Ingest toy photos: about 67 for training, 8 each for validation and test."""
    draw_photos(folder / "photos", count)
    out = folder / "ingest"
    out.mkdir()
    config = settle_source(IngestConfig(images=str(folder / "photos"), seed=0), False)
    return Artifact("ingest", "k", 1, out, "ingest", 0.0, ingest(config, out), {})


def realistic_value(name: str, value: np.ndarray) -> np.ndarray:
    """Draw a variable's value as in a trained network: the outputs neither vanish nor grow."""
    draw = np.random.default_rng(sum(name.encode()))
    if name.endswith("weights"):
        return (draw.normal(0, 1, value.shape) * (2 / max(9, np.prod(value.shape[:-1]))) ** 0.5).astype(np.float32)
    if name.endswith("moving_variance"):
        return draw.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return draw.normal(0, 0.2, value.shape).astype(np.float32) if name.endswith("moving_mean") else value


class Toys:
    """The input artifacts of train, and trainings on them that share a cache of outputs."""

    def __init__(self, folder: Path, ingest: Artifact) -> None:
        self.folder, self.ingest, self.count = folder, ingest, 0
        self.initial: dict[str, Any] = {}
        base_path = self._new("base")
        card = Card("toy", SEEN, [], None, "random", "")
        module = build(card, base_network(card), None, 1)
        values = {name: realistic_value(name, variable.numpy()) for name, variable in module.variables_by_name.items()}
        write_checkpoint(base_path / "model.ckpt", values)
        write_card(base_path, card)
        self.base = Artifact("base", "k", 1, base_path, "base", 0.0, {"feature_width": WIDTH}, {})
        self.head = self.make_head(HeadConfig(dropout=0.2, seed=0))
        self.features = self.make_features()

    def _new(self, name: str) -> Path:
        self.count += 1
        path = self.folder / f"{self.count}-{name}"
        path.mkdir(parents=True)
        return path

    def make_head(self, config: HeadConfig) -> Artifact:
        out = self._new("head")
        return Artifact("head", "k", 1, out, "h", 0.0, head(config, out, base=self.base, ingest=self.ingest), {})

    def make_mlp(self) -> Artifact:
        return self.make_head(MlpConfig(widths=[16], seed=0))

    def make_features(self, flips: bool = False) -> Artifact:
        out = self._new("features")
        config = FeaturesConfig(precision=Precision.float32, batch_size=8, flips=flips)
        memo = Memo(self.folder / "features-memory", {}, {})
        facts = features(config, out, ingest=self.ingest, base=self.base, memo=memo)
        return Artifact("features", "k", 1, out, "f", 0.0, facts, {})

    def out(self) -> Path:
        """Return a new output folder."""
        return self._new("out")

    def memo(self, name: str = "memory") -> Memo:
        return Memo(self.folder / name, {}, {})

    def train(
        self,
        config: TrainConfig,
        out: Path,
        *,
        memory: str = "memory",
        head: Artifact | None = None,
        features: Artifact | None = None,
    ) -> Facts:
        """Run the stage with the output folder `out`; in a folder that was used before, it resumes."""
        wanted = (features or self.features) if config.reads_features() else None
        given = {"ingest": self.ingest, "base": self.base, "head": head or self.head, "features": wanted}
        return train(config, out, **given, memo=self.memo(memory))

    def untrained(self) -> dict[str, Any]:
        """Return the model's variables by name, before a training."""
        return initial_weights(self.base.path, self.head.path)

    def model(self, out: Path, head: Artifact | None = None) -> TrainedModel:
        """Return the model that a training into `out` made."""
        return TrainedModel(self.base.path, (head or self.head).path, out)

    def checkpoints(self, out: Path) -> dict[str, dict[str, Any]]:
        """Return all variables of a trained model by name, with those of its best and of its last epoch."""
        below = [out / "best.ckpt", self.head.path / "model.ckpt", self.base.path / "model.ckpt"]
        return {name: read_checkpoint(out / f"{name}.ckpt", below) for name in ("best", "last")}

    def trained(self, train: Artifact, head: Artifact | None = None) -> dict[str, Any]:
        """Return the inputs of `evaluate` for a training, with a memo."""
        given = {"ingest": self.ingest, "base": self.base, "head": head or self.head, "train": train}
        return {**given, "memo": self.memo("evaluated")}


def phase(*trainable: str, **settings: Any) -> PhaseConfig:
    return PhaseConfig(**{"trainable": list(trainable), "epochs": 2, "augment": False, **settings})


def config(*phases: PhaseConfig, **settings: Any) -> TrainConfig:
    """Return the config of a small training, without any `auto`."""
    optimizer = settings.pop("optimizer", {})
    given = {"network": "toy", "seed": 0, "batch_size": 16, "fused": FUSED, "cache": CACHE, "patience_epochs": 50}
    made = MomentumConfig(**{"learning_rate": 0.005, "schedule": Schedule.constant, **optimizer})
    return TrainConfig(**{**given, "optimizer": made, "phases": list(phases), **settings})


def classifier(model: TrainedModel) -> Any:
    """Return a trained model for inference, from images to logits [batch, classes]."""
    card = model.card()
    return freeze(classifier_network(card), model.weights(), input_shape(card))


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / "history.parquet").to_pylist()
    return found


def kept_bytes(out: Path) -> dict[str, bytes]:
    """Return the files of a finished training that must be identical, bit for bit, each time it runs."""
    names = ("best.ckpt.index", "best.ckpt.data-00000-of-00001", "last.ckpt.index", "last.ckpt.data-00000-of-00001")
    return {name: (out / name).read_bytes() for name in (*names, "history.parquet", "card.json")}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the names of the variables that differ in any bit."""
    assert set(before) == set(after)
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}
