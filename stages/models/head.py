"""The head's files: its variables, the assembled model's card, and the restore report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts, write_json
from slimline.stages.models.assemble import classifier_network, initial_values, read_weights
from slimline.stages.models.card import read_card, write_card
from slimline.stages.models.head_config import HeadConfig
from slimline.stages.networks.weights.checkpoint import write_checkpoint
from slimline.stages.networks.weights.parts import MODEL
from slimline.stages.networks.weights.restore import restore_report


def write_head(config: HeadConfig, out: Path, base: Artifact, ingest: Artifact) -> Facts:
    """Put a head for ingest's classes on the base, and write its variables and the model's card: see the stage."""
    labels = (ingest.path / "labels.txt").read_text(encoding="utf-8").splitlines()
    card = replace(read_card(base.path), labels=labels, head=config.options(), head_kind=config.kind)
    given = read_weights(base.path / MODEL)
    values = initial_values(card, classifier_network(card), given, config.seed)
    shapes = {name: value.shape for name, value in values.items()}
    report = restore_report(shapes, {name: value.shape for name, value in given.items()})
    new = {name: values[name] for name in report["new"]}
    write_checkpoint(out / MODEL, new, others=values.keys() - new.keys())
    write_card(out, replace(card, graph=None))  # a frozen base's graph stays in the base
    write_json(out / "restore.json", report)
    return {
        "kind": config.kind,
        **{state: len(names) for state, names in report.items()},
        "new_parameters": sum(values[name].size for name in report["new"]),
    }
