"""Measurement of fusions: count the operations of a training step, and time it with and without each fusion."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import CALLS, TIMING
from slimline.stages.backend.hardware import bfloat16_rewriting, has_fast_bfloat16
from slimline.stages.backend.tensorflow import tf
from slimline.stages.fusion.config import FusionsConfig
from slimline.stages.fusion.graph import Graphs, trace_graphs
from slimline.stages.fusion.tables import (
    Comparison,
    compare,
    notes_on,
    operation_rows,
    print_comparisons,
    print_operations,
    write_fusions,
)
from slimline.stages.fusion.timing import time_interleaved
from slimline.stages.fusion.variants import (
    Model,
    compiled,
    decode_ways,
    epoch_ways,
    loss_ways,
    make_trainer,
    random_examples,
    step_ways,
    update_ways,
)
from slimline.stages.models.assemble import build, classifier_network, read_weights
from slimline.stages.models.card import read_card
from slimline.stages.training.config import PhaseConfig, Switch, TrainConfig
from slimline.stages.training.settle import settle_fused

STEP, UPDATE, LOSS, DECODE, HEAD_STEP = (
    "a training step",
    "updating all trained variables",
    "the loss and gradient of a batch",
    "decoding the center of a drawn photo",
    "a step of the head on features",
)


def measure_fusions(config: FusionsConfig, out: Path, base: Artifact) -> Facts:
    """Print both tables, and write them to `out`; see the stage `fusions`.

    Raises:
        UserError: no variable is in a scope, the base has no trainable variables, or XLA cannot compile the step.
    """
    model = _model(config, base)
    gpus = len(tf.config.list_physical_devices("GPU"))
    about = {**_about(config, model), "gpus": gpus}
    print(f"\n{', '.join(f'{name} {value}' for name, value in about.items())}")
    print("Images and labels are random: the content of an image does not change how long a step takes.")
    operations = operation_rows(_graphs(config, model))
    chosen = {name: getattr(config.fused, name).value for name in ("batch_norm", "pointwise", "bfloat16", "xla")}
    print_operations(operations, ", ".join(f"{name} {value}" for name, value in chosen.items()))
    rows = _comparisons(config, model, gpus)
    notes = notes_on(rows, gpus)
    print_comparisons(rows, config.steps, notes)
    write_fusions(out, about, rows, operations, notes)
    return {
        **{f"{row.switch}_speedup": row.speedup for row in rows if row.speedup is not None},
        "headline": "fusions   {path}/fusions.json",
    }


def _model(config: FusionsConfig, base: Artifact) -> Model:
    labels = [f"class {number}" for number in range(config.classes)]
    card = replace(read_card(base.path), labels=labels, head={})
    module = build(card, classifier_network(card), read_weights(base.path / "model.ckpt"), config.seed)
    values = {name: variable.numpy() for name, variable in module.variables_by_name.items()}
    phase = PhaseConfig(trainable=config.trainable, input_px=config.input_px or card.preprocessing.input_px)
    return Model(card, values, phase, config.batch_size)


def _about(config: FusionsConfig, model: Model) -> dict[str, str | int | None]:
    """Return what is measured, and on which machine; `processors` counts those that this process may use."""
    return {
        "network": model.card.network,
        "input_px": model.phase.input_px,
        "batch_size": config.batch_size,
        "classes": config.classes,
        "trainable": "+".join(config.trainable),
        "repetitions": config.steps,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "fast_bfloat16": has_fast_bfloat16(),
    }


def _graphs(config: FusionsConfig, model: Model) -> Graphs:
    """Run the step with the fusions of `config.fused` once, and count its operations."""
    always = {name: switch is Switch.always for name, switch in asdict(config.fused).items()}
    trainer = make_trainer(model, fuse=always["batch_norm"], pointwise=always["pointwise"], xla=always["xla"])
    side = model.phase.input_px or 0
    examples = random_examples(model, (side, side, 3), model.batch_size)
    with bfloat16_rewriting(always["bfloat16"]):
        return trace_graphs(compiled(lambda: trainer.run_step(*examples, 0)))


def _comparisons(config: FusionsConfig, model: Model, gpus: int) -> list[Comparison]:
    """Time all variants, and compare them with and without each switch."""
    xla = config.xla is Switch.always or (config.xla is Switch.auto and gpus > 0)
    trainer = make_trainer(model)
    groups = {
        STEP: step_ways(model, trainer, xla=xla, gpu=gpus > 0),
        UPDATE: update_ways(model, trainer.trained),
        LOSS: loss_ways(model.batch_size, config.classes),
        DECODE: decode_ways(),
        HEAD_STEP: epoch_ways(model),
    }
    calls = sum(len(ways) for ways in groups.values()) * (config.steps + 1)
    with progress(TIMING, calls, CALLS) as advance:
        times = {what: time_interleaved(ways, config.steps, advance) for what, ways in groups.items()}
    auto = settle_fused(TrainConfig(network=model.card.network, seed=0), plan=False).fused
    step = times[STEP]
    return [
        compare("batch_norm", STEP, step["step"], step["plain batch norm"], auto.batch_norm.value),
        compare("pointwise", STEP, step["pointwise"], step["step"], auto.pointwise.value),
        compare("remapping", STEP, step["step"], step["no remapping"], "always"),
        compare("optimizer", UPDATE, times[UPDATE]["fused"], times[UPDATE]["plain"], "always"),
        compare("cross_entropy", LOSS, times[LOSS]["fused"], times[LOSS]["plain"], "always"),
        compare("decode_and_crop", DECODE, times[DECODE]["fused"], times[DECODE]["plain"], "always"),
        compare("epoch", HEAD_STEP, times[HEAD_STEP]["fused"], times[HEAD_STEP]["plain"], auto.epoch.value),
        compare("bfloat16", STEP, step["bfloat16"], step["step"], auto.bfloat16.value),
        compare("mixed_float16", STEP, step.get("float16"), step["step"], "never"),
        compare("xla", STEP, step.get("xla"), step["step"], auto.xla.value),
    ]
