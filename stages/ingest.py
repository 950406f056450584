"""Ingest: labelled photos in, TFRecord shards by split out, every photo checked and accounted for."""

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
"""The runner gives a memo; called by hand, ingest does without."""


@stage(
    resume=True,
    resolve=settle_source,
    choices=chosen_source,
    memo_without=(table.__name__,),  # a photo is as usable from one source as from another
    undigested=("pictures.arrow",),
    schemas={"photos": PhotosConfig, "flowers": FlowersConfig, "tfds": TfdsConfig},
)
def ingest(config: IngestConfig, out: Path, *, memo: Memo = NO_MEMO) -> Facts:
    """Check every photo, split by content, and write the TFRecord shards and the files that describe them.

    These are `index.parquet`, a row for each photo; `twins.parquet`, the pairs that look the same; `labels.txt`; and
    `pictures.arrow`, small pictures of some photos for the data set's page.

    A killed run resumes: photos that were checked and shards that were written are not done again. A photo whose bytes
    an earlier run could use as they are is not decoded again, even if its name, the split or the other photos changed.

    Raises:
        UserError: too many photos can't be read, or a class is left with too few.
    """
    from slimline.stages.data.ingesting import ingest_photos

    return ingest_photos(config, out, memo)
