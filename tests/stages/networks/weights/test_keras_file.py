"""Keras' files: files written by Keras are read by TF-Slim's names, and give Keras' own outputs."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from slimline.pipeline.errors import HelperLost, UserError
from slimline.stages.networks.architectures.inception import inception_v3
from slimline.stages.networks.architectures.mobilenet_v1 import mobilenet_v1
from slimline.stages.networks.architectures.mobilenet_v2 import mobilenet_v2
from slimline.stages.networks.graphs.module import SlimModule, freeze
from slimline.stages.networks.weights import keras_child as keras_layers
from slimline.stages.networks.weights.keras_file import Layer, class_count, map_keras_weights, read_keras_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras on NumPy 2
]


class Case(NamedTuple):
    """The same network in Keras and in TF-Slim."""

    make_keras: object
    network: object
    size_px: int


CASES = {
    "mobilenet_v1": Case(
        partial(keras.applications.MobileNet, alpha=0.25, input_shape=(128, 128, 3)),
        partial(mobilenet_v1, multiplier=0.25),
        128,
    ),
    "mobilenet_v2": Case(
        partial(keras.applications.MobileNetV2, alpha=0.35, input_shape=(96, 96, 3)),
        partial(mobilenet_v2, multiplier=0.35),
        96,
    ),
    "inception_v3": Case(partial(keras.applications.InceptionV3, input_shape=(139, 139, 3)), inception_v3, 139),
}


def randomize(model) -> None:
    random = np.random.default_rng(3)
    for layer in model.layers:
        for weight in layer.weights:
            shape, kind = tuple(weight.shape), weight.name
            if kind in ("gamma", "moving_variance"):
                value = random.uniform(0.7, 1.3, shape)
            elif "kernel" in kind:
                depthwise = "Depthwise" in type(layer).__name__
                fan = np.prod(shape[:2] if depthwise else shape[:-1])
                value = random.normal(0, np.sqrt(2 / fan), shape)
            else:
                value = random.normal(0, 0.1, shape)
            weight.assign(value)


class Written(NamedTuple):
    """A Keras model and the files that Keras wrote for it."""

    model: object
    published: Path
    whole: Path


def write(model, folder: Path) -> Written:
    randomize(model)
    published, whole = folder / "published.h5", folder / "whole.h5"
    with h5py.File(published, "w") as file:
        save_weights_to_hdf5_group(file, model)
    model.save(whole)
    return Written(model, published, whole)


@pytest.fixture(scope="module", params=CASES)
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def written(case, tmp_path_factory) -> Written:
    return write(case.make_keras(weights=None, classifier_activation=None), tmp_path_factory.mktemp("keras"))


@pytest.fixture(scope="module")
def names(case) -> dict[str, tuple[int, ...]]:
    module = SlimModule(partial(case.network, num_classes=1000), (case.size_px, case.size_px, 3))
    return {name: tuple(variable.shape) for name, variable in module.variables_by_name.items()}


@pytest.fixture(scope="module")
def bare(names) -> dict[str, tuple[int, ...]]:
    """The names without the ImageNet layer's."""
    return {name: shape for name, shape in names.items() if "/Logits/" not in name}


@pytest.fixture(scope="module")
def mapped(written, names):
    return map_keras_weights(read_keras_file(written.published), names)


def test_outputs_are_keras_own(case, written, names, mapped):
    assert set(mapped) == set(names)
    images = np.random.default_rng(0).uniform(-1, 1, (2, case.size_px, case.size_px, 3)).astype("float32")
    found = freeze(partial(case.network, num_classes=1000), mapped, (case.size_px, case.size_px, 3))(images).numpy()
    expected = np.asarray(written.model(images, training=False))
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-4
    assert np.ptp(expected) > 0.1  # the outputs are not constant


def test_whole_model_holds_the_same(written, names, mapped):
    whole = map_keras_weights(read_keras_file(written.whole), names)
    assert set(whole) == set(mapped)
    assert all(np.array_equal(whole[name], mapped[name]) for name in mapped)


def test_class_count(written):
    layers = read_keras_file(written.published)
    assert class_count(layers) == 1000
    assert class_count([layer for layer in layers if "bias" not in layer.weights]) is None
    assert class_count([]) is None


def test_file_without_top_maps_all_but_the_logits(case, names, bare, tmp_path):
    file = write(case.make_keras(weights=None, include_top=False), tmp_path)
    layers = read_keras_file(file.published)
    found = map_keras_weights(layers, names)
    assert set(found) == set(bare)
    assert len(names) - len(bare) == 2
    assert class_count(layers) is None


def test_top_is_omitted_if_the_network_has_none(written, mapped, bare):
    found = map_keras_weights(read_keras_file(written.published), bare)
    assert set(found) == set(bare)
    assert all(np.array_equal(found[name], mapped[name]) for name in bare)


def test_error_for_another_number_of_classes_names_the_layer_and_both_shapes(written, names, bare):
    wider = {name: (*shape[:-1], 1001) for name, shape in names.items() if name not in bare}
    with pytest.raises(UserError, match=r"The layer (conv_preds|predictions) has kernel \[.*1000\], .*, 1001\]"):
        map_keras_weights(read_keras_file(written.published), {**bare, **wider})


def test_base_of_a_user_s_own_model_is_read(tmp_path):
    """The model has a MobileNet as one of its layers, as in Keras' transfer-learning guide."""
    base = keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3), include_top=False)
    base.trainable = False
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    flat = keras.Model(base.input, keras.layers.Dense(5)(pooled))
    inputs = keras.Input((96, 96, 3))
    nested = keras.Sequential(
        [inputs, base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(16), keras.layers.Dense(5)]
    )
    module = SlimModule(partial(mobilenet_v2, multiplier=0.35), (96, 96, 3))
    bare = {name: tuple(variable.shape) for name, variable in module.variables_by_name.items()}
    randomize(base)
    flat.save(tmp_path / "flat.h5")
    nested.save(tmp_path / "nested.h5")
    flat_layers, nested_layers = (read_keras_file(tmp_path / name) for name in ("flat.h5", "nested.h5"))
    assert class_count(flat_layers) == class_count(nested_layers) == 5
    flat_found, nested_found = (map_keras_weights(layers, bare) for layers in (flat_layers, nested_layers))
    assert set(flat_found) == set(nested_found) == set(bare)
    expected = np.asarray(base.get_layer("block_5_depthwise").weights[0])
    assert np.array_equal(flat_found["MobilenetV2/expanded_conv_5/depthwise/depthwise_weights"], expected)
    assert all(np.array_equal(flat_found[name], nested_found[name]) for name in bare)


# From here on: files and layers written by hand.


def hand_written(path: Path, layers: dict[str, dict[str, np.ndarray]], suffix: str = ":0") -> Path:
    """Write a file as in Keras 2: weights are named after their layer, attributes are bytes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{key}{suffix}".encode() for key in weights]
            for key, value in weights.items():
                group[f"{name}/{key}{suffix}"] = value
    return path


def conv(filters: int, channels: int = 3) -> dict[str, np.ndarray]:
    return {"kernel": np.full((1, 1, channels, filters), filters, np.float32)}


def test_layers_are_sorted_by_the_numbers_in_default_names_and_others_keep_their_places(tmp_path):
    layers = {"input_1": {}, "conv2d_12": conv(2), "stem": conv(7), "conv2d_9": conv(1), "conv2d_110": conv(3)}
    found = read_keras_file(hand_written(tmp_path / "x.h5", layers))
    assert [layer.name for layer in found] == ["conv2d_9", "stem", "conv2d_12", "conv2d_110"]
    assert [layer.weights["kernel"].shape[-1] for layer in found] == [1, 7, 2, 3]


def test_a_name_without_a_number_is_the_first_of_its_kind(tmp_path):
    norm = {"beta": np.zeros(2, np.float32)}
    layers = {"conv2d_1": conv(2), "batch_normalization_1": norm, "conv2d": conv(1), "batch_normalization": norm}
    found = read_keras_file(hand_written(tmp_path / "x.h5", layers))
    assert [layer.name for layer in found] == ["conv2d", "batch_normalization", "conv2d_1", "batch_normalization_1"]


def test_names_split_into_several_attributes(tmp_path):
    path = hand_written(tmp_path / "x.h5", {"b": conv(1), "a": conv(2)})
    with h5py.File(path, "a") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"b"], [b"a"]
    assert [layer.name for layer in read_keras_file(path)] == ["b", "a"]


def test_half_precision_becomes_single(tmp_path):
    path = hand_written(tmp_path / "x.h5", {"a": {"kernel": np.full((1, 1, 3, 2), 0.1, np.float16)}})
    [layer] = read_keras_file(path)
    assert layer.weights["kernel"].dtype == np.float32


NAMES = {
    "Net/Conv/depthwise_weights": (3, 3, 4, 1),
    "Net/Conv/pointwise_weights": (1, 1, 4, 6),
    "Net/Conv/BatchNorm/gamma": (6,),
    "Net/Conv/BatchNorm/beta": (6,),
    "Net/Conv/BatchNorm/moving_mean": (6,),
    "Net/Conv/BatchNorm/moving_variance": (6,),
    "Net/Logits/weights": (1, 1, 6, 5),
    "Net/Logits/biases": (5,),
}


def fitting() -> list[Layer]:
    random = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype("float32")

    return [
        Layer("separable", {"depthwise_kernel": array(3, 3, 4, 1), "pointwise_kernel": array(1, 1, 4, 6)}),
        Layer("norm", {key: array(6) for key in ("gamma", "beta", "moving_mean", "moving_variance")}),
        Layer("dense", {"kernel": array(6, 5), "bias": array(5)}),
    ]


def test_separable_and_dense_layers():
    separable, norm, dense = fitting()
    found = map_keras_weights([separable, norm, dense], NAMES)
    assert set(found) == set(NAMES)
    assert np.array_equal(found["Net/Conv/depthwise_weights"], separable.weights["depthwise_kernel"])
    assert np.array_equal(found["Net/Conv/pointwise_weights"], separable.weights["pointwise_kernel"])
    assert np.array_equal(found["Net/Conv/BatchNorm/moving_variance"], norm.weights["moving_variance"])
    assert np.array_equal(found["Net/Logits/weights"], dense.weights["kernel"][None, None])
    assert np.array_equal(found["Net/Logits/biases"], dense.weights["bias"])


def without(layers: list[Layer], index: int, key: str) -> list[Layer]:
    layer = layers[index]
    kept = {name: value for name, value in layer.weights.items() if name != key}
    return [*layers[:index], Layer(layer.name, kept), *layers[index + 1 :]]


def replaced(layers: list[Layer], index: int, key: str, value: np.ndarray) -> list[Layer]:
    layer = layers[index]
    return [*layers[:index], Layer(layer.name, {**layer.weights, key: value}), *layers[index + 1 :]]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (without(fitting(), 1, "gamma"), r"norm has no gamma, for the network's Net/Conv/BatchNorm/gamma \[6\]"),
        (without(fitting(), 2, "bias"), r"dense has no bias, for the network's Net/Logits/biases \[5\]"),
        (
            replaced(fitting(), 0, "bias", np.zeros(6, np.float32)),
            r"separable has bias \[6\], but the network has no Net/Conv/biases",
        ),
        (
            replaced(fitting(), 2, "kernel", np.zeros((7, 5), np.float32)),
            r"dense has kernel \[7, 5\], but the network's Net/Logits/weights is \[1, 1, 6, 5\]",
        ),
        (
            replaced(fitting(), 1, "beta", np.zeros(7, np.float32)),
            r"norm has beta \[7\], but the network's Net/Conv/BatchNorm/beta is \[6\]",
        ),
        (
            replaced(fitting(), 1, "beta", np.zeros(6, np.int64)),
            "norm has beta of type int64, not floating point",
        ),
        (
            [*fitting(), Layer("lstm", {"recurrent_kernel": np.zeros((2, 2), np.float32)})],
            "lstm has recurrent_kernel, which no layer of the network has",
        ),
        (
            [*fitting(), Layer("second", {"kernel": np.zeros((5, 2), np.float32)})],
            r"second, kernel \[5, 2\], is not in the network: the file has 2 of this kind, the network 1",
        ),
        (
            [fitting()[0], fitting()[2]],
            r"The file has no layer for the network's Net/Conv/BatchNorm/moving_mean \[6\]: the file has 0",
        ),
        (fitting()[1:], r"The file has no layer for the network's Net/Conv/depthwise_weights \[3, 3, 4, 1\]"),
    ],
)
def test_mismatches_name_the_layer_and_both_shapes(layers, message):
    with pytest.raises(UserError, match=message):
        map_keras_weights(layers, NAMES)


@pytest.mark.parametrize("key", ["kernel", "depthwise_kernel"])  # the name in Keras 3 and in Keras 2
def test_depthwise_convolutions_have_their_own_order(key):
    names = {"Net/a/weights": (3, 3, 3, 4), "Net/b/depthwise_weights": (3, 3, 4, 1), "Net/c/weights": (1, 1, 4, 8)}
    layers = [
        Layer(name, {key if "depthwise" in name else "kernel": np.full(shape, number, np.float32)})
        for number, (name, shape) in enumerate(names.items())
    ]
    found = map_keras_weights(layers, names)
    assert {name: value.max() for name, value in found.items()} == dict(zip(names, range(3), strict=True))


# From here on: files that can't be read.


def test_error_for_keras_3_s_weights_layout_says_what_to_do(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(
        UserError, match=r"(?s)layout of model\.save_weights.*Save the model with model\.save\('model\.h5'\)"
    ):
        read_keras_file(tmp_path / "x.weights.h5")


@pytest.mark.parametrize("kept_fraction", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file(tmp_path, kept_fraction):
    path = hand_written(tmp_path / "x.h5", {f"layer_{number}": conv(100, 100) for number in range(20)})
    assert len(read_keras_file(path)) == 20
    os.truncate(path, int(path.stat().st_size * kept_fraction))
    with pytest.raises(UserError, match=r"(?s)x\.h5 can't be read as a Keras file.*truncated, damaged"):
        read_keras_file(path)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_bytes_give_layers_or_an_error_to_read(tmp_path, seed):
    path = hand_written(tmp_path / "x.h5", {"a": conv(2), "b": conv(3)})
    random, damaged = np.random.default_rng(seed), bytearray(path.read_bytes())
    for place in random.integers(0, len(damaged), 20):
        damaged[place] = random.integers(0, 256)
    path.write_bytes(bytes(damaged))
    try:
        assert {layer.name for layer in read_keras_file(path)} <= {"a", "b"}
    except UserError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_a_reader_that_is_ended_from_outside_is_lost_and_the_file_is_not_called_damaged(tmp_path, monkeypatch, name):
    reader = tmp_path / "python"
    reader.write_text(f"#!/bin/sh\nkill -{name} $$\n")
    reader.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(reader))
    with pytest.raises(
        HelperLost, match=rf"reads {tmp_path}/x\.h5 was ended by signal \d+\.\nRun the same command again"
    ):
        read_keras_file(tmp_path / "x.h5")


def test_crash_of_the_library_is_an_error_to_read(tmp_path, monkeypatch):
    """About one damaged file in 150 crashes HDF5 1.14, depending on its version, so a stand-in crashes here."""
    crasher = tmp_path / "python"
    crasher.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crasher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crasher))
    with pytest.raises(UserError, match=r"x\.h5 can't be read as a Keras file \(HDF5\): it crashes the HDF5 library"):
        read_keras_file(tmp_path / "x.h5")


def test_internal_error_is_not_a_user_error(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_layers, "__name__", "stages.networks.no_such_module")
    with pytest.raises(RuntimeError, match="No module named"):
        read_keras_file(tmp_path / "x.h5")


def test_text_in_place_of_an_array(tmp_path):
    path = hand_written(tmp_path / "x.h5", {"a": conv(2)})
    with h5py.File(path, "a") as file:
        del file["a/a/kernel:0"]
        file["a/a/kernel:0"] = ["os.system"]
    with pytest.raises(UserError, match="a/kernel:0 contains object, not numbers"):
        read_keras_file(path)


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", b"PK\x03\x04 a .keras file is a zip"])
def test_other_kinds_of_files(tmp_path, content):
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match="can't be read as a Keras file"):
        read_keras_file(path)


def test_hdf5_file_without_a_model(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = np.zeros(3)
    with pytest.raises(UserError, match="not a Keras model: it has no layer names"):
        read_keras_file(tmp_path / "x.h5")


def test_model_without_weights(tmp_path):
    with pytest.raises(UserError, match="has no layer with weights"):
        read_keras_file(hand_written(tmp_path / "x.h5", {"flatten": {}}))


def test_named_weights_that_are_missing(tmp_path):
    path = hand_written(tmp_path / "x.h5", {"a": conv(2)})
    with h5py.File(path, "a") as file:
        del file["a/a/kernel:0"]
    with pytest.raises(UserError, match="can't be read as a Keras file"):
        read_keras_file(path)


@pytest.mark.parametrize("link", [h5py.ExternalLink("secret.h5", "/a"), h5py.SoftLink("/b")])
def test_links_are_refused(tmp_path, link):
    hand_written(tmp_path / "secret.h5", {"a": conv(2)})
    path = hand_written(tmp_path / "x.h5", {"a": conv(2), "b": conv(3)})
    with h5py.File(path, "a") as file:
        del file["a"]
        file["a"] = link
    with pytest.raises(UserError, match="has a link in place of a"):
        read_keras_file(path)


def test_arrays_in_other_files_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 24)
    path = hand_written(tmp_path / "x.h5", {"a": conv(2)})
    with h5py.File(path, "a") as file:
        del file["a/a/kernel:0"]
        file["a/a"].create_dataset("kernel:0", (1, 1, 3, 2), "f4", external=[(str(tmp_path / "secret"), 0, 24)])
    with pytest.raises(UserError, match="stores a/kernel:0 in another file"):
        read_keras_file(path)


def test_arrays_that_claim_to_be_huge_are_refused(tmp_path):
    path = hand_written(tmp_path / "x.h5", {"a": conv(2)})
    with h5py.File(path, "a") as file:
        del file["a/a/kernel:0"]
        file["a/a"].create_dataset("kernel:0", (1 << 20, 1 << 12), "f4", chunks=True)
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="has a stated size of 17179869184 bytes"):
        read_keras_file(path)
