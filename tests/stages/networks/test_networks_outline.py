"""The networks' outlines: names, shapes, counts, initial values; no network is run."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np
import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.efficientnet_lite import (
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
)
from slimline.stages.networks.architectures.inception import inception_v1, inception_v2, inception_v3
from slimline.stages.networks.architectures.inception_v4 import inception_v4
from slimline.stages.networks.architectures.mobilenet_v1 import mobilenet_v1
from slimline.stages.networks.architectures.mobilenet_v2 import mobilenet_v2
from slimline.stages.networks.architectures.resnet import resnet_v1_50, resnet_v2_50
from slimline.stages.networks.architectures.top import add_top
from slimline.stages.networks.graphs.module import SlimModule, outline

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """A network at its size, and its counts: variables, trainable parameters, the pooled features' width."""

    network: object
    size_px: int
    classes: int
    variables: int
    trained: int
    width: int


CASES = {
    # TF-Slim's own tests: 5,607,184 and 10,173,112 without the top, with the moving averages
    "InceptionV1": Case(inception_v1, 224, 1001, 230, 6_618_649, 1024),
    "InceptionV2": Case(inception_v2, 224, 1001, 277, 11_179_361, 1024),
    "InceptionV3": Case(inception_v3, 299, 1000, 378, 23_817_352, 2048),  # Keras
    # 42,679,816 (timm) includes 31,584 scales of batch norm, which the zoo's network doesn't have
    "InceptionV4": Case(inception_v4, 299, 1000, 598, 42_679_816 - 31_584, 1536),
    "MobilenetV1": Case(mobilenet_v1, 224, 1000, 137, 4_231_976, 1024),  # Keras
    "MobilenetV2": Case(mobilenet_v2, 224, 1000, 262, 3_504_872, 1280),  # Keras
    "resnet_v1_50": Case(resnet_v1_50, 224, 1000, 267, 25_557_032, 2048),  # torchvision
    "resnet_v2_50": Case(resnet_v2_50, 299, 1000, 272, 25_568_360, 2048),  # Keras
    "EfficientnetLite0": Case(efficientnet_lite0, 224, 1000, 247, 4_652_008, 1280),  # timm, as the next two
    "EfficientnetLite1": Case(efficientnet_lite1, 240, 1000, 322, 5_416_680, 1280),
    "EfficientnetLite2": Case(efficientnet_lite2, 260, 1000, 322, 6_092_072, 1280),
}
LOGITS = {
    "InceptionV1": "Logits/Conv2d_0c_1x1",
    "InceptionV4": "Logits/Logits",
    "resnet_v1_50": "logits",
    "resnet_v2_50": "logits",
}
LITERALS = {
    "InceptionV2/Conv2d_1a_7x7/depthwise_weights": (7, 7, 3, 8),
    "InceptionV2/Conv2d_1a_7x7/pointwise_weights": (1, 1, 24, 64),
    "InceptionV2/Conv2d_1a_7x7/biases": (64,),
    "InceptionV2/Mixed_4a/Branch_1/Conv2d_1a_3x3/BatchNorm/beta": (96,),
    "InceptionV2/Mixed_5c/Branch_3/Conv2d_0b_1x1/weights": (1, 1, 1024, 128),
    "InceptionV4/Conv2d_1a_3x3/weights": (3, 3, 3, 32),
    "InceptionV4/Mixed_3a/Branch_1/Conv2d_0a_3x3/weights": (3, 3, 64, 96),
    "InceptionV4/Mixed_4a/Branch_1/Conv2d_0b_1x7/weights": (1, 7, 64, 64),
    "InceptionV4/Mixed_5e/Branch_3/Conv2d_0b_1x1/BatchNorm/moving_variance": (96,),
    "InceptionV4/Mixed_6h/Branch_2/Conv2d_0e_1x7/weights": (1, 7, 224, 256),
    "InceptionV4/Mixed_7a/Branch_1/Conv2d_0c_7x1/weights": (7, 1, 256, 320),
    "InceptionV4/Mixed_7d/Branch_2/Conv2d_0e_3x1/weights": (3, 1, 512, 256),
    "InceptionV4/Logits/Logits/weights": (1536, 1000),
    "resnet_v1_50/conv1/BatchNorm/gamma": (64,),
    "resnet_v1_50/block1/unit_1/bottleneck_v1/shortcut/weights": (1, 1, 64, 256),
    "resnet_v1_50/block4/unit_3/bottleneck_v1/conv3/BatchNorm/moving_mean": (2048,),
    "resnet_v1_50/logits/biases": (1000,),
    "resnet_v2_50/conv1/biases": (64,),
    "resnet_v2_50/block2/unit_4/bottleneck_v2/preact/gamma": (512,),
    "resnet_v2_50/block3/unit_1/bottleneck_v2/shortcut/biases": (1024,),
    "resnet_v2_50/postnorm/moving_variance": (2048,),
    "resnet_v2_50/logits/weights": (1, 1, 2048, 1000),
    "EfficientnetLite1/expanded_conv_20/project/BatchNorm/gamma": (320,),
    "EfficientnetLite2/expanded_conv_20/project/weights": (1, 1, 1248, 352),
    "EfficientnetLite2/Conv/weights": (3, 3, 3, 32),
}
END_POINTS = {
    "InceptionV1": {"Mixed_3c": 28, "Mixed_5c": 7},
    "InceptionV2": {"Conv2d_1a_7x7": 112, "Mixed_4e": 14, "Mixed_5c": 7},
    "InceptionV3": {"Conv2d_2b_3x3": 147, "Mixed_5d": 35, "Mixed_6e": 17, "Mixed_7c": 8},
    "InceptionV4": {
        "Conv2d_1a_3x3": 149,
        "Mixed_3a": 73,
        "Mixed_4a": 71,
        "Mixed_5e": 35,
        "Mixed_6h": 17,
        "Mixed_7d": 8,
    },
    "MobilenetV1": {"Conv2d_0": 112, "Conv2d_11_pointwise": 14, "Conv2d_13_depthwise": 7, "Conv2d_13_pointwise": 7},
    "MobilenetV2": {"Conv": 112, "expanded_conv": 112, "expanded_conv_16": 7, "Conv_1": 7},
    "resnet_v1_50": {"conv1": 112, "block1": 28, "block2": 14, "block3": 7, "block4": 7},
    "resnet_v2_50": {"conv1": 150, "block1": 38, "block2": 19, "block3": 10, "block4": 10, "postnorm": 10},
    "EfficientnetLite0": {"expanded_conv": 112, "expanded_conv_15": 7, "Conv_1": 7},
    "EfficientnetLite1": {"expanded_conv": 120, "expanded_conv_20": 8, "Conv_1": 8},
    "EfficientnetLite2": {"expanded_conv": 130, "expanded_conv_20": 9, "Conv_1": 9},
}


@pytest.fixture(scope="module")
def outlines():
    return {
        scope: outline(partial(case.network, num_classes=case.classes), (case.size_px, case.size_px, 3))
        for scope, case in CASES.items()
    }


@pytest.mark.parametrize("scope", CASES)
def test_counts_are_the_published_ones(outlines, scope):
    case, made = CASES[scope], outlines[scope]
    assert len(made.variables) == case.variables
    assert sum(prod(kind.shape) for kind in made.variables.values() if kind.trainable) == case.trained
    assert all(name.startswith(f"{scope}/") for name in made.variables)
    assert {name.rpartition("/")[2] for name, kind in made.variables.items() if not kind.trainable} == {
        "moving_mean",
        "moving_variance",
    }


@pytest.mark.parametrize("scope", CASES)
def test_end_points_have_the_zoo_s_names_and_sizes(outlines, scope):
    case, found = CASES[scope], outlines[scope].end_points
    assert found["pooled"] == (None, case.width)
    assert found["Logits"] == (None, case.classes)
    sides = {name: (None, side_px, side_px) for name, side_px in END_POINTS[scope].items()}
    assert {name: found[name][:3] for name in sides} == sides
    assert "AuxLogits" not in found


@pytest.mark.parametrize("name", LITERALS)
def test_variables_have_the_zoo_s_names_and_shapes(outlines, name):
    assert outlines[name.partition("/")[0]].variables[name].shape == LITERALS[name]


@pytest.mark.parametrize("scope", CASES)
def test_without_classes_only_the_last_layer_is_missing_at_any_size(outlines, scope):
    case = CASES[scope]
    bare = outline(case.network, (96, 128, 3))
    layer = f"{scope}/{LOGITS.get(scope, 'Logits/Conv2d_1c_1x1')}"
    assert set(outlines[scope].variables) - set(bare.variables) == {f"{layer}/weights", f"{layer}/biases"}
    assert all(outlines[scope].variables[name].shape == kind.shape for name, kind in bare.variables.items())
    assert list(bare.variables) == [name for name in outlines[scope].variables if not name.startswith(f"{layer}/")]
    assert bare.end_points["pooled"] == (None, case.width)
    assert "Logits" not in bare.end_points


AUXILIARY = {
    "InceptionV3": (inception_v3, {"Conv2d_2a_5x5/weights": (5, 5, 128, 768), "Conv2d_2b_1x1/weights": (1, 1, 768, 5)}),
    "InceptionV4": (inception_v4, {"Conv2d_2a/weights": (5, 5, 128, 768), "Aux_logits/weights": (768, 5)}),
}


@pytest.mark.parametrize("scope", AUXILIARY)
@pytest.mark.parametrize("size_px", [75, 400])
def test_the_auxiliary_head_is_the_zoo_s_at_any_size(outlines, scope, size_px):
    network, shapes = AUXILIARY[scope]
    made = outline(partial(network, num_classes=5, aux_logits=True), (size_px, size_px, 3))
    assert made.end_points["AuxLogits"] == (None, 5)
    head = {name: kind.shape for name, kind in made.variables.items() if name not in outlines[scope].variables}
    assert len(head) == 10
    assert {name: head[f"{scope}/AuxLogits/{name}"] for name in shapes} == shapes
    assert list(made.variables)[-12:-2] == list(head)  # the zoo builds it before the last layer


@pytest.mark.parametrize("scope", AUXILIARY)
def test_without_classes_there_is_no_auxiliary_head(outlines, scope):
    made = outline(partial(AUXILIARY[scope][0], aux_logits=True), (96, 96, 3))
    assert set(made.variables) < set(outlines[scope].variables)
    assert "AuxLogits" not in made.end_points


@pytest.mark.parametrize(
    ("multiplier", "parameters"), [(1.0, 4_231_976), (0.75, 2_585_560), (0.5, 1_331_592), (0.25, 470_072)]
)
def test_mobilenet_v1_at_every_multiplier(multiplier, parameters):
    made = outline(partial(mobilenet_v1, num_classes=1000, multiplier=multiplier), (128, 128, 3))
    assert sum(prod(kind.shape) for kind in made.variables.values() if kind.trainable) == parameters
    assert made.end_points["pooled"] == (None, int(1024 * multiplier))


@pytest.mark.parametrize(
    ("multiplier", "parameters", "width"),
    [
        (1.4, 6_108_776, 1792),
        (1.3, 5_386_792, 1664),
        (1.0, 3_504_872, 1280),
        (0.75, 2_636_424, 1280),
        (0.5, 1_968_680, 1280),
        (0.35, 1_677_128, 1280),
    ],
)
def test_mobilenet_v2_at_every_multiplier(multiplier, parameters, width):
    made = outline(partial(mobilenet_v2, num_classes=1000, multiplier=multiplier), (128, 128, 3))
    assert made.end_points["pooled"] == (None, width)
    assert sum(prod(kind.shape) for kind in made.variables.values() if kind.trainable) == parameters
    assert all(kind.shape[0] % 8 == 0 for name, kind in made.variables.items() if name.endswith("/beta"))


CUT = 0.8796  # the standard deviation of a standard normal that is cut at 2


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("InceptionV1/Mixed_5c/Branch_1/Conv2d_0b_3x3/weights", CUT * 0.01),
        ("InceptionV1/Logits/Conv2d_0c_1x1/weights", CUT * np.sqrt(2.6 / 1024)),
        ("InceptionV2/Conv2d_1a_7x7/depthwise_weights", CUT * 1.0),
        ("InceptionV2/Mixed_5c/Branch_0/Conv2d_0a_1x1/weights", CUT * np.sqrt(2.6 / 1024)),
        ("InceptionV4/Mixed_7d/Branch_0/Conv2d_0a_1x1/weights", CUT * np.sqrt(2.6 / 1536)),
        ("InceptionV4/Logits/Logits/weights", np.sqrt(2 / (1536 + 1000))),
        ("MobilenetV1/Conv2d_13_pointwise/weights", CUT * 0.09),
        ("MobilenetV1/Conv2d_13_depthwise/depthwise_weights", CUT * 0.09),
        ("MobilenetV2/Logits/Conv2d_1c_1x1/weights", CUT * 0.09),
        ("resnet_v2_50/block4/unit_1/bottleneck_v2/conv1/weights", CUT * np.sqrt(2.6 / 1024)),
        ("resnet_v2_50/conv1/biases", 0.0),
    ],
)
def test_initial_values_have_the_zoo_s_deviation(outlines, name, deviation):
    value = outlines[name.partition("/")[0]].variables[name].initial_value(name, 0).numpy()
    assert value.std() == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize("dense", [False, True])
def test_the_top_drops_features_only_in_training(dense):
    def network(maps, *, is_training=False):
        end_points = {}
        top = partial(add_top, num_classes=1, dropout_keep=0.8, scope="Logits/Last", dense=dense)
        return top(maps, end_points, is_training=is_training), end_points

    weights = np.ones((1000, 1) if dense else (1, 1, 1000, 1), np.float32)
    module = SlimModule(network, (2, 3, 1000), {"Logits/Last/weights": weights})
    maps = tf.concat([tf.zeros([64, 2, 2, 1000]), tf.fill([64, 2, 1, 1000], 3.0)], 2)
    logits, end_points = tf.function(lambda: module(maps), autograph=False)()
    assert np.allclose(end_points["pooled"], 1.0)
    assert np.allclose(logits, 1000.0)
    trained, end_points = tf.function(lambda: module(maps, is_training=True), autograph=False)()
    assert np.allclose(end_points["pooled"], 1.0)
    kept = trained.numpy() * 0.8
    assert np.allclose(kept, np.round(kept), atol=1e-2)  # each feature is kept or dropped
    assert np.mean(kept) == pytest.approx(800, abs=10)  # its standard deviation is 1.6
    assert np.std(kept) == pytest.approx(np.sqrt(1000 * 0.8 * 0.2), rel=0.5)
