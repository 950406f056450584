"""The self-test of ImageNet bases: correct bases pass, and the usual mistakes are detected."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.base import base
from slimline.stages.models.assemble import read_weights
from slimline.stages.models.base_config import BaseConfig, MobilenetConfig
from slimline.stages.models.base_settle import settle_weights
from slimline.stages.models.card import Card, read_card, write_card
from slimline.stages.models.self_test import self_test
from slimline.stages.networks.weights.checkpoint import write_checkpoint
from tests.conftest import shared

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lite(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lite")
    base(settle_weights(BaseConfig("efficientnet_lite0"), False), folder)
    return folder


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory) -> Path:
    weights = shared("weights/mobilenet_v1_1.0_224") / "mobilenet_v1_1.0_224.ckpt"
    folder = tmp_path_factory.mktemp("mobilenet")
    base(settle_weights(MobilenetConfig("mobilenet_v1", weights=str(weights)), False), folder)
    return folder


def pixels(card: Card, **changes: float) -> Card:
    return replace(card, preprocessing=replace(card.preprocessing, **changes))


MISTAKES = {
    "classes off by one": lambda card: replace(card, labels=[card.labels[-1], *card.labels[:-1]]),
    "pixels from 0 to 255": lambda card: pixels(card, offset=0.0, scale=1.0),
    "pixels from 0 to 1": lambda card: pixels(card, offset=0.0, scale=255.0),
}


def spoiled(base: Path, mistake: str, folder: Path) -> Path:
    """Return a copy of a base with a mistake in its card."""
    for file in base.glob("model.ckpt*"):
        shutil.copy(file, folder)
    write_card(folder, MISTAKES[mistake](read_card(base)))
    return folder


def test_right_weights_pass(lite):
    assert self_test(lite, 1).startswith("palace 0.2")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_detected_if_the_first_place_is_required(lite, mistake, tmp_path):
    with pytest.raises(UserError, match=r"doesn't recognize the self-test photo of a palace: its best names are \w"):
        self_test(spoiled(lite, mistake, tmp_path), 1)


def test_channels_in_the_wrong_order_are_detected(lite, tmp_path):
    values = read_weights(lite / "model.ckpt")
    kernel = "EfficientnetLite0/Conv/weights"
    write_checkpoint(tmp_path / "model.ckpt", {**values, kernel: values[kernel][:, :, ::-1]})
    write_card(tmp_path, read_card(lite))
    with pytest.raises(UserError, match="efficientnet_lite0 doesn't recognize"):
        self_test(tmp_path, 1)


@pytest.mark.parametrize("mistake", ["classes off by one", "pixels from 0 to 255"])
def test_a_place_among_the_first_five_still_detects_the_worst_mistakes(mobilenet, mistake, tmp_path):
    assert self_test(mobilenet, 5) == "palace 0.275 (place 2)"
    with pytest.raises(UserError, match="mobilenet_v1 doesn't recognize"):
        self_test(spoiled(mobilenet, mistake, tmp_path), 5)
