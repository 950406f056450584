"""The assembled model: equal networks are the same function, so that none is traced twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slimline.stages.models.assemble import base_network, classifier_network
from slimline.stages.models.card import Card
from slimline.stages.networks.table import NETWORKS

CARD = Card("mobilenet_v1", NETWORKS["mobilenet_v1"].preprocessing, ["a", "b"], {"dropout": 0.1}, "imagenet", "0")


def test_models_that_differ_only_in_weights_and_names_are_one_network():
    other = replace(CARD, weights="random", weights_sha256="1", labels=["c", "d"], head={"dropout": 0.1})
    assert classifier_network(other) is classifier_network(CARD)
    assert base_network(other, 1001) is base_network(CARD, 1001)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["a", "b", "c"]},
        {"head": {"dropout": 0.2}},
        {"head": None},
        {"multiplier": 0.5},
        {"network": "efficientnet_lite0"},
        {"flips": True},
    ],
)
def test_other_models_are_other_networks(change):
    assert classifier_network(replace(CARD, **change)) is not classifier_network(CARD)
