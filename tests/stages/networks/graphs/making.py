"""GraphDefs for the tests of frozen graphs, and TensorFlow 1's way of running them."""

from __future__ import annotations

import numpy as np

from slimline.stages.backend.tensorflow import tf

SIDE_PX = 8


def random(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype("float32")


def some_images(count, side_px=SIDE_PX):
    return random(count, side_px, side_px, 3, seed=99)


def graph_of(build):
    """Return the GraphDef that `build()` builds."""
    with tf.Graph().as_default() as graph:
        build()
    return graph.as_graph_def()


def images_placeholder(batch=1, name="images"):
    return tf.compat.v1.placeholder(tf.float32, [batch, SIDE_PX, SIDE_PX, 3], name=name)


def convolved(images, name="conv", width=6):
    net = tf.nn.conv2d(images, random(3, 3, 3, width), [1, 2, 2, 1], "SAME", name=name)
    return tf.nn.relu(net, name=f"{name}/relu")


def pooled(images, name="pool"):
    """Convolve and pool to [batch, 1, 1, 6] with a fixed window, as TensorFlow 1's networks do."""
    return tf.nn.avg_pool2d(convolved(images), SIDE_PX // 2, 1, "VALID", name=name)


def run_one_by_one(graph_def, given, wanted, values):
    """Run an unchanged GraphDef in a TensorFlow 1 session, one value at a time; concatenate the outputs."""
    with tf.Graph().as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session() as session:
            return np.concatenate([session.run(wanted, {given: value}) for value in values])


def inception_2015(scale_after_normalization=False):
    """Build a small graph with the 2015 Inception graph's operations and names, at GraphDef version 8.

    Its 16 x 16 images come from JPEGs of any size; the bottleneck `pool_3` has 6 features, `softmax` 5 classes.
    """

    def build():
        contents = tf.compat.v1.placeholder(tf.string, [], name="DecodeJpeg/contents")
        image = tf.raw_ops.DecodeJpeg(contents=contents, channels=3, name="DecodeJpeg")
        batch = tf.expand_dims(tf.cast(image, tf.float32, name="Cast"), 0, name="ExpandDims")
        resized = tf.compat.v1.image.resize_bilinear(batch, [16, 16], name="ResizeBilinear")
        net = tf.multiply(tf.subtract(resized, 128.0, name="Sub"), 1 / 128, name="Mul")
        net = tf.nn.conv2d(net, random(3, 3, 3, 6), [1, 2, 2, 1], "VALID", name="conv/Conv2D")
        net = tf.identity(net, name="conv/batchnorm")
        checked = tf.debugging.check_numerics(net, "", name="conv/CheckNumerics")
        with tf.control_dependencies([checked]):
            net = tf.identity(net, name="conv/control_dependency")
        net = tf.nn.relu(net, name="conv")
        net = tf.nn.avg_pool2d(net, 7, 1, "VALID", name="pool_3")
        net = tf.reshape(net, tf.constant([1, 6], name="pool_3/_reshape/shape"), name="pool_3/_reshape")
        net = tf.matmul(net, random(6, 5), name="softmax/logits/MatMul")
        net = tf.nn.bias_add(net, random(5), name="softmax/logits")
        tf.nn.softmax(net, name="softmax")
        for part in ("beta", "gamma", "moving_mean", "moving_variance"):
            value = np.abs(random(6, seed=len(part))) + 0.5
            tf.constant(value, name=f"conv/batchnorm/{part}")

    graph_def = graph_of(build)
    # The current Python API refuses to create this operation.
    [node] = [node for node in graph_def.node if node.name == "conv/batchnorm"]
    node.op = "BatchNormWithGlobalNormalization"
    node.input.extend(f"conv/batchnorm/{part}" for part in ("moving_mean", "moving_variance", "beta", "gamma"))
    node.attr["variance_epsilon"].f = 0.001
    node.attr["scale_after_normalization"].b = scale_after_normalization
    graph_def.versions.producer = 8
    return graph_def
