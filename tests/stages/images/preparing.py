"""Photos preprocessed in a graph, for the tests."""

from __future__ import annotations

import functools

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.images.preprocessing_config import Preprocessing


@functools.cache
def prepare_function(wanted: Preprocessing):
    return tf.function(
        lambda encoded: preprocess(encoded, wanted), input_signature=[tf.TensorSpec([], tf.string)], autograph=False
    )


def prepare(encoded: bytes, wanted: Preprocessing) -> np.ndarray:
    """Preprocess one image in a graph, traced once for each kind of preprocessing."""
    return prepare_function(wanted)(encoded).numpy()
