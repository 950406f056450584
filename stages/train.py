"""Train: phase by phase, each from where the one before it was best, to a checkpoint that goes on after a kill."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import stage
from slimline.stages.images.augmentation_config import AUGMENTATIONS
from slimline.stages.training.config import TrainConfig, hyperparameters
from slimline.stages.training.optimizer_config import OPTIMIZERS
from slimline.stages.training.settle import settle_fused

MEASURED = ("validation_top1", "validation_loss", "best_epoch")


@stage(
    resume=True,
    resolve=settle_fused,
    optional={"features": TrainConfig.reads_features},
    schemas={**OPTIMIZERS, **AUGMENTATIONS},
)
def train(
    config: TrainConfig, out: Path, *, ingest: Artifact, head: Artifact, features: Artifact | None, memo: Memo
) -> Facts:
    """Write `best.ckpt` and `last.ckpt` (the assembled model's), `history.parquet`, and TensorBoard's files in `logs`.

    The best epoch is the one of the last phase's with the lowest validation loss. `validation.parquet` holds what its
    weights make of the validation photos, a row each: label and logits.

    Raises:
        UserError: a scope or a class isn't there, the loss is no number or grows without bounds, the disk is full.
        Stopped: Ctrl-C or SIGTERM came; a checkpoint is kept, from which the same command goes on.
    """
    from slimline.pipeline.signals import heeding_signals
    from slimline.stages.data.storing.features import read_features
    from slimline.stages.models.card import read_card, with_input, write_card
    from slimline.stages.networks.weights.checkpoint import read_checkpoint, write_checkpoint
    from slimline.stages.scoring.logits_file import write_logits
    from slimline.stages.training.history import History
    from slimline.stages.training.loop import Job, train_phases
    from slimline.stages.training.progress import training_progress
    from slimline.stages.training.state import TrainState, clear_when_full

    card = replace(with_input(read_card(head.path), config.image_px), flips=config.average_flips)
    initial = read_checkpoint(head.path / "model.ckpt")
    splits = ("train", "validation")
    arrays = {split: read_features(features.path / f"{split}.arrow") for split in splits} if features else {}
    state = TrainState(out / "state")
    history = History(out / "logs", card.labels, state.position.rows)
    with clear_when_full(out / "state"):
        with heeding_signals() as signal:
            job = Job(config, card, ingest.path, initial, arrays, memo, state, history, signal, out)
            with training_progress(job.steps_left(ingest.facts["train"])) as bar:
                best, last = train_phases(job, bar)
        history.hyperparameters(hyperparameters(config), {name: job.facts()[name] for name in MEASURED})
        history.write(out / "history.parquet")
        write_logits(out / "validation.parquet", *job.validated, card.labels)
        write_checkpoint(out / "best.ckpt", {**initial, **best})
        write_checkpoint(out / "last.ckpt", {**initial, **last})
        write_card(out, card)
    shutil.rmtree(out / "state")
    return job.facts()
