"""TF-Slim on TensorFlow 2.21: the two facts that `slim.batch_norm` needs, in one place.

1. TF-Slim reads `tensorflow.python.framework.ops.Tensor`, which is gone.
2. Its default way of updating moving averages wants `tf_keras`. `updates_collections=None, fused=True`
   takes Slim's own fused path, which needs none and updates them in place, inside a `tf.function`.
"""

from __future__ import annotations

import warnings

from slimline.stages.backend.tensorflow import hidden, tf

with hidden("sklearn"):  # for one metric-learning loss; 1.7 s of import
    from tensorflow.python.framework import ops

    if not hasattr(ops, "Tensor"):
        ops.Tensor = tf.Tensor
    import tf_slim as slim

# TF-Slim calls TensorFlow's old layers as they were meant to be called.
warnings.filterwarnings("ignore", message=r"`layer\.", module=r"tensorflow\.python\.keras")

BATCH_NORM = {"updates_collections": None, "fused": True}

__all__ = ["BATCH_NORM", "slim"]
