"""The networks that Keras Applications has too give the same outputs as those, with the same random weights."""

from __future__ import annotations

import re
from functools import partial

import keras
import numpy as np
import pytest

from slimline.stages.networks.architectures.inception import inception_v3
from slimline.stages.networks.architectures.mobilenet_v1 import mobilenet_v1
from slimline.stages.networks.architectures.mobilenet_v2 import mobilenet_v2
from slimline.stages.networks.graphs.module import outline
from tests.stages.networks.conftest import relative_error, run_directly
from tests.tiers import release

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras on NumPy 2
]

CASES = {
    "mobilenet_v1_0.25_128": (
        partial(keras.applications.MobileNet, alpha=0.25),
        partial(mobilenet_v1, multiplier=0.25),
    ),
    "mobilenet_v1_0.75_96": (partial(keras.applications.MobileNet, alpha=0.75), partial(mobilenet_v1, multiplier=0.75)),
    "mobilenet_v2_1.4_96": (partial(keras.applications.MobileNetV2, alpha=1.4), partial(mobilenet_v2, multiplier=1.4)),
    "mobilenet_v2_1.3_129": (partial(keras.applications.MobileNetV2, alpha=1.3), partial(mobilenet_v2, multiplier=1.3)),
    "mobilenet_v2_0.5_160": (partial(keras.applications.MobileNetV2, alpha=0.5), partial(mobilenet_v2, multiplier=0.5)),
    "inception_v3_139": (keras.applications.InceptionV3, inception_v3),
}


def by_construction(layer) -> tuple[bool, int]:
    """Return a sort key: the number in Keras' default layer names, dense layers last; other layers keep their order."""
    match = re.fullmatch(r"(?:conv2d|batch_normalization)_(\d+)", layer.name)
    return isinstance(layer, keras.layers.Dense), int(match[1]) if match else 0


def random_value(random, layer, weight):
    shape = tuple(weight.shape)
    if weight.name in ("gamma", "moving_variance"):
        value = random.uniform(0.7, 1.3, shape)
    elif "kernel" in weight.name:
        fan = np.prod(shape[:2] if isinstance(layer, keras.layers.DepthwiseConv2D) else shape[:-1])
        value = random.normal(0, np.sqrt(2 / fan), shape)
    else:
        value = random.normal(0, 0.1, shape)
    return value.astype(np.float32)


def randomized(model, names) -> dict[str, np.ndarray]:
    """Set every weight of a Keras model to a random value, and return the values by TF-Slim's names."""
    random = np.random.default_rng(5)
    layers = sorted((layer for layer in model.layers if layer.weights), key=by_construction)
    kernels = iter([name for name in names if name.endswith("weights")])
    norms = iter([name.rpartition("/")[0] for name in names if name.endswith("/moving_mean")])
    values = {}
    for layer in layers:
        normalizes = isinstance(layer, keras.layers.BatchNormalization)
        name = next(norms if normalizes else kernels)
        for weight in layer.weights:
            value = random_value(random, layer, weight)
            weight.assign(value)
            if normalizes:
                values[f"{name}/{weight.name}"] = value
            elif weight.name == "bias":
                values[f"{name.rpartition('/')[0]}/biases"] = value
            else:
                values[name] = value[None, None] if value.ndim == 2 else value
    return values


@pytest.mark.parametrize(
    "name", release(CASES, ("mobilenet_v1_0.75_96", "mobilenet_v2_1.3_129", "mobilenet_v2_0.5_160", "inception_v3_139"))
)
def test_outputs_are_keras_own(name):
    make_keras, network = CASES[name]
    size_px = int(name.rpartition("_")[2])
    whole = partial(network, num_classes=1000)
    variables = outline(whole, (size_px, size_px, 3)).variables
    model = make_keras(weights=None, classifier_activation=None, input_shape=(size_px, size_px, 3))
    values = randomized(model, list(variables))
    assert {name: value.shape for name, value in values.items()} == {
        name: declared.shape for name, declared in variables.items()
    }
    images = np.random.default_rng(0).uniform(-1, 1, (2, size_px, size_px, 3)).astype(np.float32)
    logits, _ = run_directly(whole, images, values)
    assert relative_error(logits, np.asarray(model(images, training=False))) < 1e-4
