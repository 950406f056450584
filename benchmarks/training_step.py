"""Comparison of a training step of a whole network in Slimline and in Keras: the subcommand `step` of training.py.

Each side is a separate process, because Slimline hides Keras from TensorFlow. The processes alternate in turns of a few
steps, so that other load on the machine affects both. The first step of a network, which includes compiling, and the
first step of each turn are not measured. Both sides train all weights and biases of the same network on the same random
images, with the batch norms' moving averages, by gradient descent with momentum; the weights are random.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
BATCH = 32
CLASSES = 5
TURNS = 3
STEPS = 4
"""Measured steps per turn, without the first step."""
LEARNING_RATE, MOMENTUM = 1e-4, 0.9
SIDES_PX = {"inception_v3": 299, "mobilenet_v2": 224}
PLAIN = "frozen batch norm, as compiled by default"
"""The code of the fine-tuning guide: https://keras.io/guides/transfer_learning/

By default Keras 3 compiles without XLA on a CPU; the choice is printed.
"""
KERAS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "frozen batch norm, jit_compile=True": {"jit": True},
    "frozen batch norm, mixed_bfloat16": {"policy": "mixed_bfloat16"},
    "frozen batch norm, mixed_bfloat16, jit_compile=True": {"policy": "mixed_bfloat16", "jit": True},
    "batch norm in training mode": {"training": True},
}
SLIMLINE: dict[str, dict[str, bool]] = {
    "float32": {},
    "bfloat16": {"bfloat16": True},
    "float32, products for gradients": {"pointwise": True},
    "float32, batch norm not fused": {"fuse": False},
}
Turn = Callable[[], list[float]]


def batches(network: str) -> tuple[Any, Any]:
    """Draw a turn's images [count, side, side, 3] float32 in [-1, 1], and their labels [count]."""
    draw = np.random.default_rng(0)
    count, side = BATCH * (STEPS + 1), SIDES_PX[network]
    return draw.uniform(-1, 1, (count, side, side, 3)).astype(np.float32), draw.integers(CLASSES, size=count)


def keras_turn(network: str, *, training: bool = False, jit: bool | str = "auto", policy: str = "float32") -> Turn:
    """Compile a Keras model; return a function that trains one turn and returns the seconds of its steps."""
    import keras

    keras.config.set_dtype_policy(policy)
    build = {"inception_v3": keras.applications.InceptionV3, "mobilenet_v2": keras.applications.MobileNetV2}[network]
    side = SIDES_PX[network]
    base = build(weights=None, include_top=False, input_shape=(side, side, 3))
    inputs = keras.Input((side, side, 3))
    maps = base(inputs) if training else base(inputs, training=False)
    logits = keras.layers.Dense(CLASSES, dtype="float32")(keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(inputs, logits)
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit,
    )
    trained = sum(int(np.prod(one.shape)) for one in model.trainable_variables)
    note(f"Keras, {network}: trains {trained:,} values, jit_compile={model.jit_compile}")

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.ends: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.ends.append(time.perf_counter())

    images, labels = batches(network)

    def turn() -> list[float]:
        clock = Clock()
        model.fit(images, labels, batch_size=BATCH, epochs=1, verbose=0, callbacks=[clock])
        return list(np.diff(clock.ends))

    return turn


def slimline_turn(network: str, *, bfloat16: bool = False, fuse: bool = True, pointwise: bool = False) -> Turn:
    """Create a phase's trainer; return a function that trains one turn and returns the seconds of its steps."""
    from slimline.stages.backend.hardware import bfloat16_rewriting
    from slimline.stages.backend.tensorflow import tf
    from slimline.stages.models.assemble import classifier_network
    from slimline.stages.models.card import Card, input_shape
    from slimline.stages.networks.architectures.heads import SCOPE
    from slimline.stages.networks.graphs.module import outline
    from slimline.stages.networks.table import NETWORKS
    from slimline.stages.networks.weights.restore import in_scopes
    from slimline.stages.training.config import ALL, PhaseConfig
    from slimline.stages.training.network import phase_network
    from slimline.stages.training.optimizers import MomentumConfig, Optimizer
    from slimline.stages.training.schedule_config import Schedule
    from slimline.stages.training.trainer import PhaseTrainer, Settings

    labels = [f"class {number}" for number in range(CLASSES)]
    card = Card(network, NETWORKS[network].preprocessing, labels, {}, "random", "")
    declared = outline(classifier_network(card), input_shape(card)).variables
    values = {name: drawn_value(name, one.shape) for name, one in declared.items()}
    head = [name for name in declared if in_scopes(name, [SCOPE])]
    config = MomentumConfig(learning_rate=LEARNING_RATE, schedule=Schedule.constant, momentum=MOMENTUM)
    settings = Settings(CLASSES, 0, 0.0, 0.0, class_weights=None, batch_norm_decay=0.9, xla=False)
    built = phase_network(card, PhaseConfig(trainable=[ALL]), head, fuse=fuse, pointwise=pointwise)
    trainer = PhaseTrainer(built, values, lambda variables: Optimizer(config, variables, STEPS, STEPS), settings, 1.0)
    trained = sum(int(np.prod(one.shape)) for one in trainer.trained.values())
    note(f"Slimline, {network}: trains {trained:,} values")
    images, targets = batches(network)

    def turn() -> list[float]:
        ends = []
        with bfloat16_rewriting(bfloat16):
            for step in range(STEPS + 1):
                chosen = slice(step * BATCH, (step + 1) * BATCH)
                sums = trainer.run_step(tf.constant(images[chosen]), tf.constant(targets[chosen]), step)
                if sums.bad_step is not None:
                    raise SystemExit(f"{network}: the loss is NaN or infinite")
                ends.append(time.perf_counter())
        return list(np.diff(ends))

    return turn


def drawn_value(name: str, shape: tuple[int, ...]) -> Any:
    """Draw a variable's value so that activations neither grow nor vanish; batch norm is the identity here."""
    if len(shape) == 1:
        return np.full(shape, name.endswith(("gamma", "moving_variance")), np.float32)
    fan_in = np.prod(shape[:2]) if name.endswith("depthwise_weights") else np.prod(shape[:-1])
    return np.random.default_rng(len(name)).normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)


def note(text: str) -> None:
    """Print to standard error, because standard output is for answers."""
    print(text, file=sys.stderr)


def serve(side: str) -> None:
    """Read lines with a network and a way from standard input, and answer each with the seconds of a turn's steps."""
    make: Callable[..., Turn] = keras_turn if side == "keras" else slimline_turn
    turns: dict[tuple[str, str], Turn] = {}
    for line in sys.stdin:
        network, way = json.loads(line)
        if (network, way) not in turns:
            began = time.perf_counter()
            turns[network, way] = make(network, **(KERAS if side == "keras" else SLIMLINE)[way])
            turns[network, way]()
            note(f"    {way}: built, compiled and {STEPS + 1} steps in {time.perf_counter() - began:.1f} s")
        print(json.dumps(turns[network, way]()), flush=True)


def step(*networks: str) -> None:
    """Compare Slimline's steps with Keras's for each network: images per second, medians over all turns' steps."""
    from slimline.stages.backend.hardware import has_fast_bfloat16

    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for network in networks or SIDES_PX:
        workers = {
            side: subprocess.Popen(
                [sys.executable, __file__, side],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for side in ("keras", "slimline")
        }
        ways = [("keras", way) for way in KERAS] + [("slimline", way) for way in SLIMLINE]
        if not has_fast_bfloat16():  # bfloat16 would be emulated
            ways = [(side, way) for side, way in ways if "bfloat16" not in way]
        seconds: dict[tuple[str, str], list[float]] = {key: [] for key in ways}
        for turn in range(TURNS):
            for side, way in ways:
                seconds[side, way] += ask(workers[side], network, way)
            note(f"{network}: turn {turn + 1} of {TURNS} is complete")
        for worker in workers.values():
            worker.communicate()
        report(network, {key: BATCH / statistics.median(found) for key, found in seconds.items()}, seconds)


def ask(worker: subprocess.Popen[str], network: str, way: str) -> list[float]:
    """Run one turn in a worker, and return the seconds of its steps."""
    assert worker.stdin and worker.stdout
    worker.stdin.write(json.dumps([network, way]) + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise SystemExit(f"{way} of {network} failed")
    found: list[float] = json.loads(answer)
    return found


def report(network: str, rates: dict[tuple[str, str], float], seconds: dict[tuple[str, str], list[float]]) -> None:
    """Print each way's rate, and its ratios to Keras's plain way and to Keras's fastest way with frozen batch norm."""
    plain = rates["keras", PLAIN]
    fastest = max(rate for (side, way), rate in rates.items() if side == "keras" and not KERAS[way].get("training"))
    print(f"{network}, {SIDES_PX[network]} px, batch {BATCH}, {TURNS} turns of {STEPS} steps, images per second:")
    for (side, way), rate in rates.items():
        spread = f"{BATCH / max(seconds[side, way]):.1f} to {BATCH / min(seconds[side, way]):.1f}"
        print(
            f"  {side}, {way}: {rate:.1f} ({spread}); {rate / plain:.2f} times Keras's plain way,"
            f" {rate / fastest:.2f} times its fastest"
        )


if __name__ == "__main__":
    serve(sys.argv[1])
