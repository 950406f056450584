"""Features: the frozen base's bottleneck features of every record, computed once."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import stage
from slimline.stages.data.features_config import FeaturesConfig
from slimline.stages.data.features_settle import settle_precision


@stage(resolve=settle_precision, shown=("images", "mirrored", "width", "precision", "images_per_second"))
def features(config: FeaturesConfig, out: Path, *, ingest: Artifact, base: Artifact, memo: Memo) -> Facts:
    """Write `<split>.arrow`: for each record, in order, `sha256`, `label` and `features` [width] float32.

    With `features.flips`, write `train_mirrored.arrow` as well: the same for the mirror images of the training photos.
    Features that the memo holds for the same base are not computed again, whatever else changed: the split, or other
    photos.
    """
    from slimline.stages.data.bottlenecks import write_bottlenecks

    return write_bottlenecks(config, out, ingest, base, memo)
