"""Comparison of three ways to train a classifier from a folder of photos: the subcommand `methods` of training.py.

All three use the base MobileNet-v1 1.0 224 with its published weights. The first way is that of
https://github.com/tensorflow/hub/blob/master/examples/image_retraining/retrain.py with its defaults: it runs one photo
at a time through the frozen graph, stores the bottlenecks as text files that each step reads again, and trains 4000
steps with a batch size of 100, with summaries at each step. The second way is that of the Keras guide
https://www.tensorflow.org/tutorials/images/transfer_learning up to the fine-tuning, at the base's own 224 px. The third
way is Slimline's, which does more: it checks the photos, evaluates, exports, and writes a report. Each way is a
separate command, timed from outside, including the import of TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ingest import ROOT, run, scratch

SIZE_PX = 224
STEPS, BATCH, EVALUATED_EVERY, RATE = 4000, 100, 10, 0.01
EPOCHS, GUIDE_BATCH, GUIDE_RATE, DROPOUT = 10, 32, 1e-4, 0.2
HELD_OUT = {"testing": (0, 10), "validation": (10, 20)}
"""Ranges in percent of a hash of the file's name; all other photos are for training."""


def methods(folder: str, model: str) -> None:
    """Time the three ways in one run, and print the ratios of the other ways' times to Slimline's."""
    checkpoint = next(Path(model).resolve().glob("*.index")).with_suffix("")
    own: dict[str, list[float]] = {"to the report": [], "to the accuracy": []}

    def slimline() -> None:
        for extent, targets in zip(own, ([], ["run.targets=[evaluate]"]), strict=True):
            with scratch() as base:
                photos = f'ingest.images="{Path(folder).resolve()}"'
                began = time.perf_counter()
                run(base, photos, "base=mobilenet_v1", f'base.weights="{checkpoint}"', *targets)
                own[extent].append(time.perf_counter() - began)
                metrics = json.loads((base / "runs/flowers/latest/metrics.json").read_text(encoding="utf-8"))
                top1 = metrics["top1"]
                print(f"Slimline, cold, {extent}: {own[extent][-1]:.1f} s, test top-1 {top1:.1%}", flush=True)

    slimline()
    others = {}
    for way, name in (("retrain", "retrain.py's way"), ("guide", "the Keras guide's way")):
        began = time.perf_counter()
        command = [sys.executable, __file__, way, folder, model]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        others[name] = time.perf_counter() - began
        print(f"{name}: {others[name]:.1f} s, {said.splitlines()[-1]}", flush=True)
        slimline()
    for extent, seconds in own.items():
        median = statistics.median(seconds)
        for name, other in others.items():
            print(f"Slimline {extent}, median {median:.1f} s, is {other / median:.1f} times as fast as {name}")


def retrain(folder: Path, model: Path) -> None:
    """Train as retrain.py does, and print the test accuracy."""
    from bases import one_by_one

    from slimline.stages.networks.graphs.file import read_graph

    photos = sorted(folder.rglob("*.jpg"))
    classes = sorted({path.parent.name for path in photos})
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name)
        encoded = [path.read_bytes() for path in photos]
        one_by_one(read_graph(next(model.glob("*.pb"))), encoded, SIZE_PX, kept)
        splits: dict[str, list[list[Path]]] = {}
        for number, path in enumerate(photos):
            rows = splits.setdefault(retrain_split(path.name), [[] for _ in classes])
            rows[classes.index(path.parent.name)].append(kept / f"{number}.txt")
        print(f"test accuracy {train_on_files(splits, kept):.1%}")


def retrain_split(name: str) -> str:
    """Return a photo's split, from the hash of its name."""
    percent = int(hashlib.sha1(name.encode()).hexdigest(), 16) % 10_000 / 100
    return next((split for split, (low, high) in HELD_OUT.items() if low <= percent < high), "training")


def read_bottlenecks(paths: list[Path]) -> list[list[float]]:
    """Read text files of comma-separated numbers."""
    return [[float(value) for value in path.read_text().split(",")] for path in paths]


def drawn_batch(rows: list[list[Path]]) -> tuple[list[list[float]], list[int]]:
    """Draw a batch, for each example first a class, then one of its photos; return their bottlenecks and labels."""
    labels = [random.randrange(len(rows)) for _ in range(BATCH)]
    return read_bottlenecks([random.choice(rows[label]) for label in labels]), labels


def train_on_files(splits: dict[str, list[list[Path]]], logs: Path) -> float:
    """Train one layer with gradient descent, and return its test accuracy."""
    from slimline.stages.backend.tensorflow import tf

    v1 = tf.compat.v1
    rows = splits["training"]
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        inputs = v1.placeholder(tf.float32, [None, len(read_bottlenecks(rows[0][:1])[0])])
        targets = v1.placeholder(tf.int64, [None])
        weights = v1.Variable(tf.random.truncated_normal([inputs.shape[1], len(rows)], stddev=0.001))
        biases = v1.Variable(tf.zeros([len(rows)]))
        for variable in (weights, biases):
            summarize(variable)
        logits = inputs @ weights + biases
        v1.summary.histogram("logits", logits)
        v1.summary.histogram("probabilities", tf.nn.softmax(logits))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
        v1.summary.scalar("cross_entropy", loss)
        descend = v1.train.GradientDescentOptimizer(RATE).minimize(loss)
        accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), targets), tf.float32))
        v1.summary.scalar("accuracy", accuracy)
        merged = v1.summary.merge_all()
        session.run(v1.global_variables_initializer())
        writers = {split: v1.summary.FileWriter(str(logs / split), graph) for split in ("training", "validation")}
        for step in range(STEPS):
            batch = dict(zip((inputs, targets), drawn_batch(rows), strict=True))
            writers["training"].add_summary(session.run([merged, descend], batch)[0], step)
            if step % EVALUATED_EVERY == 0 or step == STEPS - 1:
                session.run([accuracy, loss], batch)
                batch = dict(zip((inputs, targets), drawn_batch(splits["validation"]), strict=True))
                writers["validation"].add_summary(session.run([merged, accuracy], batch)[0], step)
        tested = splits["testing"]
        labels = [label for label, paths in enumerate(tested) for _ in paths]
        features = read_bottlenecks([path for paths in tested for path in paths])
        return float(session.run(accuracy, {inputs: features, targets: labels}))


def summarize(variable: Any) -> None:
    """Add summaries of a variable's mean, standard deviation, bounds and distribution."""
    from slimline.stages.backend.tensorflow import tf

    scalar = tf.compat.v1.summary.scalar
    name = variable.op.name
    scalar(f"{name}/mean", tf.reduce_mean(variable))
    scalar(f"{name}/spread", tf.math.reduce_std(variable))
    scalar(f"{name}/least", tf.reduce_min(variable))
    scalar(f"{name}/most", tf.reduce_max(variable))
    tf.compat.v1.summary.histogram(f"{name}/values", variable)


def guide(folder: Path, model: Path) -> None:
    """Train as the Keras guide does, and print the test accuracy."""
    import keras
    import tensorflow as tf

    training, held_out = keras.utils.image_dataset_from_directory(
        folder,
        validation_split=0.2,
        subset="both",
        seed=0,
        batch_size=GUIDE_BATCH,
        image_size=(SIZE_PX, SIZE_PX),
        verbose=False,
    )
    classes = len(training.class_names)
    tested = held_out.take(len(held_out) // 5).prefetch(tf.data.AUTOTUNE)
    checked = held_out.skip(len(held_out) // 5).prefetch(tf.data.AUTOTUNE)
    base = keras.applications.MobileNet(input_shape=(SIZE_PX, SIZE_PX, 3), include_top=False, weights=None)
    restore(base, tf.train.load_checkpoint(str(next(model.glob("*.index")).with_suffix(""))))
    base.trainable = False
    augmentation = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.2)])
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    prepared = keras.applications.mobilenet.preprocess_input(augmentation(inputs))
    pooled = keras.layers.GlobalAveragePooling2D()(base(prepared, training=False))
    outputs = keras.layers.Dense(classes)(keras.layers.Dropout(DROPOUT)(pooled))
    classifier = keras.Model(inputs, outputs)
    classifier.compile(
        keras.optimizers.Adam(GUIDE_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    classifier.evaluate(checked, verbose=0)
    prefetched = training.prefetch(tf.data.AUTOTUNE)
    classifier.fit(prefetched, epochs=EPOCHS, validation_data=checked, verbose=0)
    print(f"jit_compile={classifier.jit_compile}, test accuracy {classifier.evaluate(tested, verbose=0)[1]:.1%}")


def restore(base: Any, reader: Any) -> None:
    """Set a Keras MobileNet's weights to a TF-Slim checkpoint's."""
    layers = {"conv1": ("Conv2d_0", "weights")}
    for block in range(1, 14):
        layers[f"conv_dw_{block}"] = f"Conv2d_{block}_depthwise", "depthwise_weights"
        layers[f"conv_pw_{block}"] = f"Conv2d_{block}_pointwise", "weights"
    for name, (scope, kernel) in layers.items():
        base.get_layer(name).set_weights([reader.get_tensor(f"MobilenetV1/{scope}/{kernel}")])
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        norms = [reader.get_tensor(f"MobilenetV1/{scope}/BatchNorm/{part}") for part in parts]
        base.get_layer(f"{name}_bn").set_weights([np.asarray(one) for one in norms])


if __name__ == "__main__":
    {"retrain": retrain, "guide": guide}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
