"""Fusions: counted operations, timed variants compared with formulas, rows of the tables, and the command."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.backend.hardware import bfloat16_rewriting, has_fast_bfloat16
from slimline.stages.backend.tensorflow import tf
from slimline.stages.fusion.config import FusionsConfig
from slimline.stages.fusion.graph import Graphs, Operation, trace_graphs
from slimline.stages.fusion.settle import settle_switches
from slimline.stages.fusion.tables import compare, disagreements, notes_on, operation_rows
from slimline.stages.fusion.timing import Timing, Way, time_interleaved
from slimline.stages.fusion.variants import (
    OPTIMIZER,
    Model,
    compiled,
    decode_ways,
    epoch_ways,
    fused_update,
    graph_option,
    loss_ways,
    make_trainer,
    plain_cross_entropy,
    plain_update,
    random_examples,
    step_ways,
    update_ways,
)
from slimline.stages.models.assemble import build, classifier_network
from slimline.stages.models.card import Card
from slimline.stages.networks.table import NETWORKS
from slimline.stages.training.config import PhaseConfig, Switch
from tests.command_server import run_python

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIDE_PX, BATCH = 64, 4
CONVOLUTIONS, DEPTHWISE = 14, 13  # MobileNet-v1's, https://arxiv.org/abs/1704.04861, table 1
VARIABLES = 3 * (CONVOLUTIONS + DEPTHWISE) + 2  # kernel, gamma and beta of each; the head's weights and biases


@pytest.fixture(scope="module")
def model() -> Model:
    preprocessing = replace(NETWORKS["mobilenet_v1"].preprocessing, input_px=SIDE_PX)
    card = Card("mobilenet_v1", preprocessing, ["a", "b", "c"], {}, "random", "", multiplier=0.25)
    values = {name: value.numpy() for name, value in build(card, classifier_network(card)).variables_by_name.items()}
    return Model(card, values, PhaseConfig(trainable=["all"], input_px=SIDE_PX), BATCH)


def graphs_of(model, *, fuse, bfloat16=False) -> Graphs:
    trainer = make_trainer(model, fuse=fuse)
    examples = random_examples(model, (SIDE_PX, SIDE_PX, 3), BATCH)
    with bfloat16_rewriting(bfloat16):
        return trace_graphs(lambda: trainer.run_step(*examples, 0))


@pytest.fixture(scope="module")
def fused(model) -> Graphs:
    return graphs_of(model, fuse=True)


def found(counts: Counter[Operation], part: str, fused: str | None = None) -> int:
    return sum(
        number for kind, number in counts.items() if part in kind.name and (fused is None or kind.fused == fused)
    )


def test_every_convolution_is_fused_with_its_bias_and_activation(fused):
    assert fused.written[Operation("Conv2D", "", "float32")] == CONVOLUTIONS
    assert fused.written[Operation("DepthwiseConv2dNative", "", "float32")] == DEPTHWISE
    assert found(fused.written, "Fused") == 0
    assert fused.optimized[Operation("_FusedConv2D", "BiasAdd+Relu6", "float32")] == CONVOLUTIONS
    assert fused.optimized[Operation("_FusedDepthwiseConv2dNative", "BiasAdd+Relu6", "float32")] == DEPTHWISE
    assert fused.optimized[Operation("_FusedMatMul", "BiasAdd", "float32")] == 1
    assert [found(counts, "BatchNorm") for counts in fused] == [0, 0, 0]
    assert found(fused.run, "FusedConv2D", "BiasAdd+Relu6") == CONVOLUTIONS
    assert found(fused.run, "FusedDepthwiseConv2dNative", "BiasAdd+Relu6") == DEPTHWISE


def test_each_update_is_one_operation_and_so_is_the_loss(fused):
    for counts in fused:
        assert found(counts, "ResourceApplyMomentum") == VARIABLES
        assert found(counts, "AssignSub") == found(counts, "AssignVariableOp") == 0
        assert found(counts, "SoftmaxCrossEntropyWithLogits") == 1
    assert fused.written.total() > fused.optimized.total() > found(fused.run, "ResourceApplyMomentum")


def test_without_folding_batch_norms_remain(model):
    graphs = graphs_of(model, fuse=False)
    assert found(graphs.written, "FusedBatchNormV3") == CONVOLUTIONS + DEPTHWISE
    assert found(graphs.written, "FusedBatchNormGradV3") == CONVOLUTIONS + DEPTHWISE
    assert found(graphs.run, "FusedBatchNorm") > 0
    assert found(graphs.optimized, "_FusedConv2D", "BiasAdd+Relu6") == 0


@pytest.mark.skipif(not has_fast_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_appears_in_types_and_casts(model, fused):
    graphs = graphs_of(model, fuse=True, bfloat16=True)
    assert graphs.optimized[Operation("_FusedConv2D", "BiasAdd+Relu6", "bfloat16")] == CONVOLUTIONS
    assert graphs.optimized[Operation("Cast", "", "float32 to bfloat16")] > CONVOLUTIONS
    assert not [kind for kind in fused.optimized if "bfloat16" in kind.type]


def test_only_the_graph_of_the_call_is_counted():
    tf.function(lambda value: [value + number for number in range(40)], autograph=False)(tf.constant(1.0))
    function = tf.function(lambda value: tf.nn.relu(value @ value + [1.0, 2.0]), autograph=False)
    written, optimized, _ = trace_graphs(lambda: function(tf.ones([2, 2])))
    assert (found(written, "MatMul"), found(written, "Relu"), found(optimized, "_FusedMatMul")) == (1, 1, 1)
    assert written.total() < 10


def test_an_error_in_the_call_turns_tracing_off():
    def fail():
        raise ValueError("no step")

    with pytest.raises(ValueError, match="no step"):
        trace_graphs(fail)
    function = tf.function(lambda value: tf.exp(value), autograph=False)
    assert found(trace_graphs(lambda: function(tf.ones([2]))).written, "Exp") == 1


def test_operation_rows_contain_every_kind_once(fused):
    rows = operation_rows(fused)
    assert len({(row["operation"], row["fused"], row["type"]) for row in rows}) == len(rows)
    for name, counts in zip(("written", "optimized", "run"), fused, strict=True):
        assert sum(row[name] for row in rows) == counts.total()
    assert [row["run"] for row in rows] == sorted((row["run"] for row in rows), reverse=True)


def test_both_updates_follow_nesterovs_formula():
    draw = np.random.default_rng(1)
    begin, moved, gradient = draw.normal(size=(3, 5)).astype(np.float32)
    velocity = OPTIMIZER.momentum * moved + gradient
    wanted = begin - 0.5 * (gradient + OPTIMIZER.momentum * velocity)
    for update in (fused_update, plain_update):
        variable, slot = tf.Variable(begin), tf.Variable(moved)
        update(variable, slot, tf.constant(gradient), tf.constant(0.5))
        assert variable.numpy() == pytest.approx(wanted, rel=1e-5)
        assert slot.numpy() == pytest.approx(velocity, rel=1e-5)


def test_the_plain_loss_and_its_gradient_equal_tensorflows():
    draw = np.random.default_rng(2)
    logits = draw.normal(scale=30, size=(6, 4)).astype(np.float32)
    wanted = draw.dirichlet(np.ones(4), size=6).astype(np.float32)
    exact = logits.astype(np.float64)
    chances = np.exp(exact - exact.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    losses = -np.sum(wanted * np.log(chances), axis=1)
    for function in (plain_cross_entropy, tf.nn.softmax_cross_entropy_with_logits):
        with tf.GradientTape() as tape:
            tape.watch(given := tf.constant(logits))
            value = function(wanted, given)
        assert value.numpy() == pytest.approx(losses, rel=1e-5)
        assert tape.gradient(value, given).numpy() == pytest.approx(chances - wanted, abs=1e-5)


def test_fused_and_plain_ways_give_the_same_result(model):
    for ways in (loss_ways(3, 4), decode_ways(2)):
        assert ways["fused"].call() == pytest.approx(ways["plain"].call(), rel=1e-4)
        assert ways["fused"].pieces == ways["plain"].pieces > 1


def test_single_steps_and_a_whole_epoch_run_the_same_number_of_steps(model):
    for way in epoch_ways(model).values():
        assert way.pieces == 50
        way.call()


def test_both_updates_run_on_trained_variables(model):
    trained = {"Head/Logits/weights": tf.Variable(model.values["Head/Logits/weights"])}
    assert {way.call() for way in update_ways(model, trained).values()} == {np.float32(OPTIMIZER.learning_rate)}


def test_the_ways_of_a_step_set_and_restore_their_option(model):
    def options():
        return tf.config.optimizer.get_experimental_options()

    ways = step_ways(model, make_trainer(model), xla=False, gpu=True)
    assert list(ways) == ["step", "plain batch norm", "pointwise", "no remapping", "bfloat16", "float16"]
    seen = {}
    for name, way in ways.items():
        with way.within():
            seen[name] = options()
    assert seen["no remapping"]["remapping"] is False
    assert seen["bfloat16"]["auto_mixed_precision_onednn_bfloat16"] is True
    assert seen["float16"]["auto_mixed_precision"] is True
    assert options()["remapping"] is True
    assert not options()["auto_mixed_precision_onednn_bfloat16"]
    assert not options()["auto_mixed_precision"]


def test_without_remapping_nothing_is_fused(model):
    function = tf.function(lambda value: tf.nn.relu(value @ value + [1.0, 2.0]), autograph=False)
    with graph_option("remapping", False, usual=True):
        _, optimized, _ = trace_graphs(lambda: function(tf.ones([2, 2])))
    assert (found(optimized, "_Fused"), found(optimized, "MatMul")) == (0, 1)


def test_an_xla_compile_error_is_reported():
    function = tf.function(lambda text: tf.strings.length(text), jit_compile=True, autograph=False)
    with pytest.raises(UserError, match=r"XLA cannot compile this training step: .*\n.*fusions\.xla=never"):
        compiled(lambda: function(tf.constant("a")))()


def test_ways_are_interleaved_and_times_are_per_piece(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("time.process_time", lambda: clock[0] / 10)
    taken, order, inside = {"a": iter([9.0, 1.0, 3.0, 2.0]), "b": iter([8.0, 4.0, 4.0, 40.0])}, [], []

    @contextmanager
    def within():
        inside.append("begin")
        yield
        inside.append("end")

    def call(name):
        order.append(name)
        clock[0] += next(taken[name])

    ways = {"a": Way(lambda: call("a"), 2, within), "b": Way(lambda: call("b"))}
    advanced = []
    times = time_interleaved(ways, 3, lambda count=1: advanced.append(count))
    assert order == ["a", "b"] * 4
    assert inside == ["begin", "end"] * 4
    assert sum(advanced) == 8
    assert (times["a"].median_ms, times["b"].median_ms) == (1000.0, 4000.0)
    assert times["a"].processor_ms == pytest.approx([50.0, 150.0, 100.0])
    assert (times["a"].first_seconds, times["b"].first_seconds) == (9.0, 8.0)


def test_a_row_compares_medians_and_counts_faster_repetitions():
    row = compare("s", "m", Timing([1.0, 4.0, 2.0], [5.0, 1.0, 4.0], 7.0), Timing([3.0] * 3, [1.0] * 3, 5.0), "always")
    assert (row.with_ms, row.without_ms, row.speedup) == (2.0, 3.0, 1.5)
    assert (row.faster, row.processor_speedup) == (pytest.approx(2 / 3), 0.25)
    assert (row.with_first_seconds, row.without_first_seconds) == (7.0, 5.0)
    unmeasured = compare("xla", "m", None, Timing([3.0], [3.0], 5.0), "never")
    assert set(unmeasured._asdict().values()) == {"xla", "m", "never", None}


@pytest.mark.parametrize(
    ("auto", "with_it", "contradicted"),
    [
        ("always", [10.0, 10.0], False),
        ("always", [12.0, 12.0], True),
        ("always", [14.0, 9.0], False),  # slower by the median, but not in every repetition
        ("never", [10.0, 10.0], False),
        ("never", [8.0, 8.0], True),
        ("never", [9.8, 9.8], False),
        ("never", [12.0, 12.0], False),
    ],
)
def test_only_a_clear_difference_contradicts_auto(auto, with_it, contradicted):
    row = compare("bfloat16", "a step", Timing(with_it, with_it, 0.0), Timing([10.0, 10.0], [10.0, 10.0], 0.0), auto)
    said = [note for note in notes_on([row], gpus=1) if note.startswith(f"bfloat16: auto chooses {auto}, ")]
    assert len(said) == len(notes_on([row], gpus=1)) == contradicted
    assert any("No GPU was found" in note for note in notes_on([row], gpus=0))


def test_the_processor_time_must_agree_unless_a_gpu_is_used():
    row = compare("xla", "a step", Timing([8.0], [10.0], 0.0), Timing([10.0], [10.0], 0.0), "never")
    assert [len(disagreements([row], gpus)) for gpus in (0, 1)] == [0, 1]


def test_auto_is_resolved_as_in_train(monkeypatch):
    monkeypatch.setattr("slimline.stages.backend.hardware.has_fast_bfloat16", lambda: True)
    for network, bfloat16 in (("inception_v3", Switch.always), ("mobilenet_v1", Switch.never)):
        fused = settle_switches(FusionsConfig(network=network, seed=0), plan=False).fused
        assert (fused.batch_norm, fused.bfloat16, fused.xla) == (Switch.always, bfloat16, Switch.never)


@pytest.mark.parametrize("values", [{"steps": 0}, {"batch_size": 0}, {"classes": 1}, {"input_px": 31}])
def test_values_out_of_range_are_rejected(values):
    with pytest.raises(UserError, match=f"fusions.{next(iter(values))}="):
        FusionsConfig(network="mobilenet_v1", seed=0, **values)


def test_the_command_prints_both_tables_and_writes_them(tmp_path):
    small = ["base=mobilenet_v1", "base.multiplier=0.25", "base.size=96", "base.weights=random"]
    own = ["fusions.batch_size=2", "fusions.steps=1", "fusions.input_px=64"]
    chosen = ["fusions.fused.batch_norm=never", "fusions.fused.pointwise=always"]
    command = ("-m", "pipeline", "+experiment=fusions", *small, *own, *chosen)
    done = run_python(*command, folder=tmp_path, environment={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr + done.stdout
    said = done.stdout
    assert "input_px 64, batch_size 2" in said
    assert "batch_norm never, pointwise always, bfloat16 never, xla never" in said
    assert "No GPU was found" in said or "gpus 0" not in said
    folder = tmp_path / "runs/fusions/v001"
    result = json.loads((folder / "fusions.json").read_text(encoding="utf-8"))
    switches = pq.read_table(folder / "switches.parquet").to_pylist()
    assert result["switches"] == switches
    assert [row["switch"] for row in switches] == [
        "batch_norm",
        "pointwise",
        "remapping",
        "optimizer",
        "cross_entropy",
        "decode_and_crop",
        "epoch",
        "bfloat16",
        "mixed_float16",
        "xla",
    ]
    cells = [line.split()[:3] for line in said.splitlines()]
    for row in switches[:8]:
        assert row["speedup"] == pytest.approx(row["without_ms"] / row["with_ms"])
        assert [row["switch"], f"{row['with_ms']:,.3f}", f"{row['without_ms']:,.3f}"] in cells
    operations = pq.read_table(folder / "operations.parquet").to_pylist()
    assert result["operations"] == operations
    products = sum(row["written"] for row in operations if row["operation"] == "MatMul")
    assert products == 2 * (CONVOLUTIONS - 1) + 3  # the first is 3x3, stride 2; the head's are three
    [norms] = [row for row in operations if row["operation"] == "FusedBatchNormV3"]
    assert norms["written"] == CONVOLUTIONS + DEPTHWISE
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["stages"]["fusions"]["facts"]["epoch_speedup"] == switches[6]["speedup"]
