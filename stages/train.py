"""Train: phase by phase, each from where the one before it was best, to a checkpoint that goes on after a kill."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import stage
from slimline.pipeline.table import Derived
from slimline.stages.images.augmentation_choice import chosen_augmentation
from slimline.stages.images.augmentation_table import AUGMENTATIONS
from slimline.stages.training.config import TrainConfig
from slimline.stages.training.optimizer_config import OPTIMIZERS
from slimline.stages.training.settle import settle_fused


@stage(
    resume=True,
    resolve=settle_fused,
    optional={"features": TrainConfig.reads_features},
    choices=lambda config: chosen_augmentation(config.augmentation),
    schemas=Derived(AUGMENTATIONS, lambda row: row.config, prefix="augmentation/", beside=OPTIMIZERS),
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
    from slimline.stages.training.loop import run_training

    return run_training(config, out, ingest=ingest, head=head, features=features, memo=memo)
