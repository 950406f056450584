"""Base: a pre-trained network, its weights checked and written as a TF-Slim checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from omegaconf import MISSING

from pipeline.artifact import Facts, digest_file
from pipeline.errors import UserError
from pipeline.stage import stage
from stages.networks.table import NETWORKS
from stages.networks.weights import package_file

SELF_TEST_NAME = "palace"
"""What scikit-learn's china.jpg shows, to ImageNet."""


class Weights(Enum):
    """Where a base's weights come from."""

    imagenet = "imagenet"


@dataclass
class BaseConfig:
    """Which network, and which weights; the weights' sha256 is settled before the key is made."""

    network: str = MISSING
    weights: Weights = Weights.imagenet
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise UserError(
                f"base.network={self.network!r} is no network that Slimline has.",
                f"It has: {', '.join(sorted(NETWORKS))}.",
            )


def settle_weights(config: BaseConfig, plan: bool) -> BaseConfig:
    """Find the weights' file and its checksum, so that the key holds what will be read."""
    row = NETWORKS[config.network]
    return replace(config, weights_sha256=digest_file(package_file(row.weights_package, row.weights_file)))


@stage(resolve=settle_weights)
def base(config: BaseConfig, out: Path) -> Facts:
    """Write `model.ckpt` and `card.json`, and check on a known photo that the network names it right.

    Raises:
        UserError: the network doesn't recognise the photo, so weights or preprocessing are wrong.
    """
    from stages.imagenet import class_names, photo_path
    from stages.model import Card, build, classifier_network, freeze_classifier, write_card
    from stages.networks.checkpoint import write_checkpoint
    from stages.networks.weights import read_published_weights
    from stages.predict import Predictor

    row = NETWORKS[config.network]
    card = Card(
        network=config.network,
        preprocessing=row.preprocessing,
        labels=class_names(row.classes),
        head=None,
        weights=config.weights.value,
        weights_sha256=config.weights_sha256 or "",
    )
    module = build(card, classifier_network(card))
    values = read_published_weights(row, module.variables_by_name)
    write_checkpoint(out / "model.ckpt", values)
    write_card(out, card)
    [best] = Predictor(card, freeze_classifier(card, out / "model.ckpt")).top([photo_path().read_bytes()], 1)
    if best[0].name != SELF_TEST_NAME:
        raise UserError(
            f"{config.network} calls the self-test photo {best[0].name!r}, not {SELF_TEST_NAME!r}.",
            "Its weights or its preprocessing don't fit. Install the weights' package again.",
        )
    return {
        "network": config.network,
        "parameters": int(sum(value.size for value in values.values())),
        "input_px": row.preprocessing.input_px,
        "feature_width": row.feature_width,
        "weights_sha256": card.weights_sha256,
        "self_test": f"{best[0].name} {best[0].score:.3f}",
    }
