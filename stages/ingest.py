"""Ingest: check labeled photos, split them, and write them as TFRecord shards."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from slimline.pipeline.artifact import Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import stage
from slimline.stages.data.config import FlowersConfig, IngestConfig, PhotosConfig, TfdsConfig, chosen_source
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources import table

NO_MEMO = cast(Memo, None)
"""The runner passes a memo; a call by hand works without one."""


@stage(
    resume=True,
    resolve=settle_source,
    choices=chosen_source,
    memo_without=(table.__name__,),  # whether a photo can be used does not depend on its source
    undigested=("pictures.arrow",),
    shown=("photos", "classes", "left_out", "train", "test", "validation"),
    schemas={"photos": PhotosConfig, "flowers": FlowersConfig, "tfds": TfdsConfig},
)
def ingest(config: IngestConfig, out: Path, *, memo: Memo = NO_MEMO) -> Facts:
    """Check every photo, split by content, and write the TFRecord shards and the files that describe them.

    These files are `index.parquet`, one row per photo; `twins.parquet`, the pairs of photos that look the same;
    `labels.txt`; and `pictures.arrow`, small pictures of some photos for the dataset page.

    An interrupted run resumes: photos that were checked and shards that were written are kept. A photo whose bytes an
    earlier run used unchanged is not decoded again, even if its name, the split or the other photos changed.

    Raises:
        UserError: too many photos can't be used, or a class has too few photos left.
    """
    from slimline.stages.data.ingesting import ingest_photos

    return ingest_photos(config, out, memo)
