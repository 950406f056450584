"""Train the assembled model in phases, with checkpoints from which a stopped or killed training resumes."""

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
    shown=("validation_top1", "best_epoch", "epochs", "validation_loss", "batch_norm_gap", "examples_per_second"),
    schemas=Derived(AUGMENTATIONS, lambda row: row.config, prefix="augmentation/", beside=OPTIMIZERS),
)
def train(
    config: TrainConfig,
    out: Path,
    *,
    ingest: Artifact,
    base: Artifact,
    head: Artifact,
    features: Artifact | None,
    memo: Memo,
) -> Facts:
    """Write `best.ckpt`, `last.ckpt`, `history.parquet`, `validation.parquet`, and the TensorBoard logs in `logs`.

    `best.ckpt` holds the variables that this training changed; the others are in `base` and `head`. `last.ckpt` holds
    those in which the last epoch differs from the best one. The best epoch is the epoch of the last phase with the
    lowest validation loss, or its last epoch with `train.keep=last`.
    `validation.parquet` holds one row per validation photo: its label, and the logits from the best weights.

    Raises:
        UserError: a scope or a class was not found, the loss is NaN or infinite or diverges, or the disk is full.
        Stopped: Ctrl-C or SIGTERM was received. A checkpoint is kept, from which the same command resumes.
    """
    from slimline.stages.training.loop import run_training

    return run_training(config, out, ingest=ingest, base=base, head=head, features=features, memo=memo)
