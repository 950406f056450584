"""TF-Slim on TensorFlow 2.21: the two workarounds that `slim.batch_norm` needs, in one place.

1. TF-Slim reads `tensorflow.python.framework.ops.Tensor`, which no longer exists.
2. By default it needs `tf_keras` to update moving averages. `updates_collections=None, fused=True` selects
   Slim's own fused code, which doesn't need it, and updates the averages in place, inside a `tf.function`.
"""

from __future__ import annotations

import warnings

from slimline.stages.backend.tensorflow import hidden, tf

with hidden("sklearn"):  # needed for one metric-learning loss only, and takes 1.7 s to import
    from tensorflow.python.framework import ops

    if not hasattr(ops, "Tensor"):
        ops.Tensor = tf.Tensor
    import tf_slim as slim

# TF-Slim calls TensorFlow's old layers correctly: the warning against it doesn't apply.
warnings.filterwarnings("ignore", message=r"`layer\.", module=r"tensorflow\.python\.keras")

BATCH_NORM = {"updates_collections": None, "fused": True}

__all__ = ["BATCH_NORM", "slim"]
