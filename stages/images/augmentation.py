"""Augmentation of training photos. Random draws depend only on (seed, image, epoch)."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation_choice import augmentation_name
from slimline.stages.images.augmentation_config import AugmentationConfig
from slimline.stages.images.augmentation_table import AUGMENTATIONS
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.images.preprocessing_config import Preprocessing


def augment(encoded: Any, wanted: Preprocessing, config: AugmentationConfig, seed: Any) -> Any:
    """Decode one image, augment it as `config` says, and preprocess it: [input_px, input_px, 3] float32.

    `encoded` is a scalar string, as in `preprocess`; `seed`, [2] int32, decides every draw. The part of the photo that
    is kept is resized by the network's own method. The network's own crop isn't used.

    Raises:
        TypeError: `AUGMENTATIONS` has no row for the config's type.
    """
    if type(config) is AugmentationConfig:
        return preprocess(encoded, wanted)
    seeds = tf.unstack(tf.random.split(seed, 3))
    image = AUGMENTATIONS[augmentation_name(config)].load()(encoded, wanted, config, seeds)
    # Subtracting three numbers row by row takes a quarter of the time of pixel by pixel.
    offset = np.broadcast_to(np.asarray(wanted.offset, np.float32), (wanted.input_px, 3))
    return (image - offset) * (1 / wanted.scale)


def image_seed(seed: int, image: Any, epoch: Any) -> Any:
    """Return the seed of an image's draws in an epoch, [2] int32: `image` is a scalar int64, `epoch` any integer.

    All 64 bits are mixed at each step: with 32 bits, two of 80,000 images would probably share their draws.
    """
    words = tf.bitcast(tf.constant((seed + 2**63) % 2**64 - 2**63, tf.int64), tf.int32)
    for number in (image, epoch):
        mixed = tf.random.split(words, 1)[0]
        words = tf.bitwise.bitwise_xor(mixed, tf.bitcast(tf.cast(number, tf.int64), tf.int32))
    return words
