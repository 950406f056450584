"""Build pre-trained bases: the card, the variables, and the restore report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from slimline.pipeline.errors import UserError
from slimline.stages.imagenet.class_names import class_names
from slimline.stages.models.assemble import base_network
from slimline.stages.models.card import Card, input_shape
from slimline.stages.models.initial_weights import IMAGENET_CLASSES, Source, read_source
from slimline.stages.networks.graphs.cost import multiply_adds
from slimline.stages.networks.graphs.file import read_graph
from slimline.stages.networks.graphs.frozen_graph import cut_graph, frozen_network, logits_tensor
from slimline.stages.networks.graphs.module import outline
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.class_files import read_inception_2015_labels, read_label_lines
from slimline.stages.networks.weights.restore import in_scopes, require_restored, restore_report, some_names

log = logging.getLogger(__name__)


class Pretrained(NamedTuple):
    """A base before it is written; a frozen graph has no `values`, and an empty report."""

    card: Card
    values: dict[str, Any]
    report: dict[str, list[str]]
    parameters: int
    multiply_adds: int
    feature_width: int


def make_slim_base(
    card: Card,
    source: Source,
    *,
    exclude_scopes: Sequence[str],
    ignore_missing: bool,
    min_restored: float,
    seed: int,
) -> Pretrained:
    """Restore a TF-Slim network; variables that the weights lack are initialized from (seed, name).

    Raises:
        UserError: the weights don't fit the network.
    """
    row = NETWORKS[card.network]
    classes_scope = f"{row.scope}/{row.logits_scope}"
    weights = read_source(
        source, lambda classes: base_network(card, classes), input_shape(card), f"{classes_scope}/biases"
    )
    declared = weights.outline.variables
    wanted = {name: variable.shape for name, variable in declared.items()}
    given = {name: tuple(value.shape) for name, value in weights.values.items()}
    report = restore_report(wanted, given, exclude_scopes)
    if card.trained:
        require_restored(
            report,
            wanted,
            given,
            source=card.weights,
            exclude_scopes=exclude_scopes,
            ignore_missing=ignore_missing,
            min_restored=min_restored,
        )
    log_report(card, report)
    restored = set(report["restored"])
    values = {
        name: weights.values[name] if name in restored else variable.initial_value(name, seed)
        for name, variable in declared.items()
    }
    complete = not any(in_scopes(name, [classes_scope]) for name in report["new"])
    labels = class_names(weights.classes) if weights.classes and complete else []
    return Pretrained(
        replace(card, labels=labels),
        values,
        report,
        parameters=sum(prod(shape) for name, shape in wanted.items() if not in_scopes(name, [classes_scope])),
        multiply_adds=multiply_adds(weights.outline.graph, lambda name: not in_scopes(name, [classes_scope])),
        feature_width=int(weights.outline.end_points["pooled"][-1] or 0),
    )


def log_report(card: Card, report: dict[str, list[str]]) -> None:
    """Log how many variables were restored, and the names of the others."""
    if not card.trained:
        return
    total = len(report["restored"]) + len(report["new"])
    log.info("base: %d of %d variables restored from %s", len(report["restored"]), total, card.weights)
    for state, meaning in (("new", "initialized at random"), ("unused", "not in the network")):
        if report[state]:
            log.info("base: %d %s (%s): %s", len(report[state]), state, meaning, some_names(report[state]))


def make_frozen_base(
    card: Card, graph: Path, *, input_name: str, bottleneck: str, output: str | None, labels: Path | None
) -> Pretrained:
    """Cut a frozen graph to the part from its input to its bottleneck, and to its own classes if `output` is given.

    Raises:
        UserError: the file isn't a frozen graph, a tensor is missing or doesn't fit, or the number of names is wrong.
    """
    graph_def = read_graph(graph)
    tensors = {"pooled": bottleneck} | ({"logits": logits_tensor(graph_def, output)} if output else {})
    cut = cut_graph(graph_def, input_name=input_name, output_names=tensors, size_px=card.preprocessing.input_px)
    card = replace(card, graph=cut.SerializeToString(deterministic=True))
    made = outline(base_network(card), input_shape(card))
    if output:
        whole = outline(frozen_network(cut, logits=True), input_shape(card))
        card = replace(card, labels=_frozen_labels(whole.end_points["Logits"][-1] or 0, labels, output))
    constants = [operation for operation in made.graph.get_operations() if operation.type == "Const"]
    return Pretrained(
        card,
        {},
        {},
        parameters=sum(one.outputs[0].shape.num_elements() for one in constants if one.outputs[0].dtype.is_floating),
        multiply_adds=multiply_adds(made.graph),
        feature_width=int(made.end_points["pooled"][-1] or 0),
    )


def _frozen_labels(classes: int, labels: Path | None, output: str) -> list[str]:
    """Return a frozen graph's class names: those of `labels`, or ImageNet's."""
    if labels is None:
        if classes not in IMAGENET_CLASSES:
            raise UserError(
                f"base.output={output} has {classes} classes, but base.labels is not set.",
                "Set base.labels to a file with their names, one per line, or set base.output=null.",
            )
        return class_names(classes)
    names = read_inception_2015_labels(labels) if labels.is_dir() else read_label_lines(labels)
    if len(names) != classes:
        raise UserError(
            f"base.labels={labels} has {len(names)} names, but base.output={output} has {classes} classes.",
            "Set base.labels to a file with the names of that output, in its order, one per line.",
        )
    return names
