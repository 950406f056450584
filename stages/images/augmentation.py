"""Photos varied for training, each draw decided by (seed, image, epoch) alone."""

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
    """Decode one image, vary it as `config` says and make it ready: [input_px, input_px, 3] float32.

    `encoded` is a scalar string, as `preprocess` takes; `seed`, [2] int32, decides every draw. What a view keeps is
    resized as the network's own preprocessing resizes; its own crop gives way.

    Raises:
        TypeError: the config is none of those that `AUGMENTATIONS` lists.
    """
    if type(config) is AugmentationConfig:
        return preprocess(encoded, wanted)
    seeds = tf.unstack(tf.random.split(seed, 3))
    image = AUGMENTATIONS[augmentation_name(config)].load()(encoded, wanted, config, seeds)
    # Subtracted row by row, three numbers take a quarter of the time that they take pixel by pixel.
    offset = np.broadcast_to(np.asarray(wanted.offset, np.float32), (wanted.input_px, 3))
    return (image - offset) * (1 / wanted.scale)


def image_seed(seed: int, image: Any, epoch: Any) -> Any:
    """Return the seed of an image's draws in an epoch, [2] int32: `image` is a scalar int64, `epoch` any integer.

    All 64 bits are mixed at each step: from 32, two of 80,000 images would be likely to share their draws.
    """
    words = tf.bitcast(tf.constant((seed + 2**63) % 2**64 - 2**63, tf.int64), tf.int32)
    for number in (image, epoch):
        mixed = tf.random.split(words, 1)[0]
        words = tf.bitwise.bitwise_xor(mixed, tf.bitcast(tf.cast(number, tf.int64), tf.int32))
    return words
