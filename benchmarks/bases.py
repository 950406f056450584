"""Benchmarks of the bases: their start-up time, and the speed of features in batches.

    python benchmarks/bases.py PHOTOS MODEL

PHOTOS is a folder of photos. MODEL is the folder of mobilenet_v1_1.0_224, with its published checkpoint and frozen
graph. The script times Inception-v3 from its definition to the first batch. Then it compares, on the same photos in one
run: the features of the frozen graph as in retrain.py (two `session.run` calls per photo: decode and resize, then the
bottleneck), the same graph in Slimline, and the TF-Slim network from the checkpoint.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slimline.stages.backend.hardware import bfloat16_rewriting, has_fast_bfloat16
from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.batches import run_padded, run_prepared
from slimline.stages.models.assemble import base_network
from slimline.stages.models.card import Card, input_shape
from slimline.stages.networks.graphs.file import read_graph
from slimline.stages.networks.graphs.frozen_graph import cut_graph
from slimline.stages.networks.graphs.module import freeze, outline
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.checkpoint import read_checkpoint

REPEATS = 3
PHOTOS = 600
ONE_BY_ONE = 200
BATCH_SIZE = 32
BOTTLENECK = "MobilenetV1/Logits/AvgPool_1a/AvgPool:0"
ONE_RUN_PER_PHOTO = "one photo per session.run"


def one_by_one(graph_def: Any, encoded: list[bytes], size_px: int, keep: Path | None = None) -> tuple[float, Any]:
    """Run the graph as retrain.py does; return the photos per second and the features.

    With a folder in `keep`, each photo's features are written to a text file there, as in retrain.py.
    """
    with tf.Graph().as_default() as graph:
        jpeg = tf.compat.v1.placeholder(tf.string)
        decoded = tf.cast(tf.image.decode_jpeg(jpeg, channels=3), tf.float32)[None]
        resized = tf.compat.v1.image.resize_bilinear(decoded, [size_px, size_px])
        prepared = (resized - 127.5) / 127.5
        tf.graph_util.import_graph_def(graph_def, name="")
    features = []
    with tf.compat.v1.Session(graph=graph) as session:
        for warm in (True, False):
            started = time.perf_counter()
            for number, one in enumerate(encoded[: 5 if warm else None]):
                image = session.run(prepared, {jpeg: one})
                features.append(session.run(BOTTLENECK, {"input:0": image}).reshape(-1))
                if keep is not None:
                    (keep / f"{number}.txt").write_text(",".join(str(value) for value in features[-1]))
    return len(encoded) / (time.perf_counter() - started), np.stack(features[5:])


def in_batches(bottleneck: Any, card: Card, encoded: list[bytes], bfloat16: bool) -> tuple[float, Any]:
    """Run a frozen base as the features stage does; return the photos per second and the features."""
    dataset = tf.data.Dataset.from_tensor_slices({"encoded": encoded})
    with bfloat16_rewriting(bfloat16):
        run_padded(bottleneck, tf.zeros([1, *input_shape(card)]), BATCH_SIZE)
        started = time.perf_counter()
        outputs = [values for values, _ in run_prepared(bottleneck, dataset, card.preprocessing, BATCH_SIZE)]
    return len(encoded) / (time.perf_counter() - started), np.concatenate(outputs)


def relative(found: Any, expected: Any) -> float:
    """Return the norm of the difference, divided by the norm of `expected`."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def compare_features(photos: list[bytes], model: Path) -> None:
    """Print the photos per second of each way: medians of interleaved repetitions."""
    graph_def = read_graph(next(model.glob("*.pb")))
    values = read_checkpoint(next(model.glob("*.index")).with_suffix(""))
    whole = replace(NETWORKS["mobilenet_v1"].preprocessing, crop="whole")
    cut = cut_graph(graph_def, input_name="input:0", output_names={"pooled": BOTTLENECK}, size_px=whole.input_px)
    cards = {
        "the frozen graph, in batches": Card(
            "frozen_graph", whole, [], None, "given", "", graph=cut.SerializeToString(deterministic=True)
        ),
        "the TF-Slim network, in batches": Card("mobilenet_v1", whole, [], None, "given", ""),
    }
    frozen = {name: freeze(base_network(card), values, input_shape(card)) for name, card in cards.items()}
    rates: dict[str, list[float]] = {}
    exact: dict[str, Any] = {}
    for _ in range(REPEATS):
        rate, features = one_by_one(graph_def, photos[:ONE_BY_ONE], whole.input_px)
        rates.setdefault(ONE_RUN_PER_PHOTO, []).append(rate)
        with tempfile.TemporaryDirectory() as folder:
            rate, _ = one_by_one(graph_def, photos[:ONE_BY_ONE], whole.input_px, Path(folder))
        rates.setdefault("the same, stored in text files as in retrain.py", []).append(rate)
        for name, card in cards.items():
            for kind in ["float32", *(["bfloat16"] if has_fast_bfloat16() else [])]:
                rate, exact[f"{name}, {kind}"] = in_batches(frozen[name], card, photos, kind == "bfloat16")
                rates.setdefault(f"{name}, {kind}", []).append(rate)
    slowest = statistics.median(rates[ONE_RUN_PER_PHOTO])
    for name, found in rates.items():
        median = statistics.median(found)
        error = f", relative error {relative(exact[name][:ONE_BY_ONE], features):.1e}" if name in exact else ""
        print(f"{name}: {median:.0f} photos per second, {median / slowest:.1f} times{error}")


def time_inception() -> None:
    """Print how long Inception-v3 takes from its definition to the features of the first batch, without imports."""
    seconds = []
    for seed in range(REPEATS):
        started = time.perf_counter()
        card = Card("inception_v3", NETWORKS["inception_v3"].preprocessing, [], None, "random", "")
        network = base_network(card)
        declared = outline(network, input_shape(card)).variables
        values = {name: variable.initial_value(name, seed) for name, variable in declared.items()}
        bottleneck = freeze(network, values, input_shape(card))
        bottleneck(tf.zeros([BATCH_SIZE, *input_shape(card)])).numpy()
        seconds.append(time.perf_counter() - started)
    print(
        f"Inception-v3 defined, initialized, frozen, and run on a batch of {BATCH_SIZE}:"
        f" {[f'{one:.1f} s' for one in seconds]}"
    )


def main() -> None:
    """Measure, and print one line per result."""
    photos = [path.read_bytes() for path in sorted(Path(sys.argv[1]).rglob("*.jpg"))[:PHOTOS]]
    time_inception()
    compare_features(photos, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
