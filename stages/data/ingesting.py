"""The work of the `ingest` stage: check photos, split them, write TFRecord shards and files that describe them."""

from __future__ import annotations

import logging
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slimline.pipeline.artifact import Facts, empty_folder, write_text
from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import CHECKING_PHOTOS, PHOTOS, WRITING_RECORDS
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.checking.checks import NEARLY_BLACK, Limits
from slimline.stages.data.checking.known_photos import KnownPhotos
from slimline.stages.data.checking.survey import Survey, survey_photos
from slimline.stages.data.config import FlowersConfig, IngestConfig
from slimline.stages.data.pictured_photos import pictured_photos
from slimline.stages.data.sources.kinds import SourceKind, lists_quickly
from slimline.stages.data.sources.photo import Listing, Photo, Spool
from slimline.stages.data.sources.table import DRAWINGS, SOURCES
from slimline.stages.data.splitting.classes import warn_of_names
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.splitting.outcomes import Outcome, count_left_out
from slimline.stages.data.splitting.selection import Selection, select_photos
from slimline.stages.data.storing.index import write_index, write_twins
from slimline.stages.data.storing.pictures import write_pictures
from slimline.stages.data.storing.shards import plan_shards, write_shards
from slimline.stages.images.faults import ADVICE, Fault, counted, left_out_line

log = logging.getLogger(__name__)

SCRATCH = "scratch"
MOST_SHOWN = 3


def ingest_photos(config: IngestConfig, out: Path, memo: Memo | None) -> Facts:
    """Check, split and store the photos of a source; return the facts of the `ingest` stage.

    Raises:
        UserError: too many photos can't be used, or a class has too few photos left; `out` is empty then.
    """
    try:
        return _ingest(config, out, memo)
    except UserError:
        empty_folder(out)  # corrected settings or photos have another key, so nothing here would be used again
        raise


def _ingest(config: IngestConfig, out: Path, memo: Memo | None) -> Facts:
    tf.constant(0)  # starts TensorFlow before the clock, so that the rate below is that of the photos
    started = time.perf_counter()
    scratch = out / SCRATCH
    scratch.mkdir(exist_ok=True)
    passed_over: Counter[str] = Counter()
    survey = _survey(config, scratch, passed_over, memo)
    _refuse_too_many(survey, config)
    selection = select_photos(survey, config.split, config.twin_bits, len(SPLITS), config.max_bad_fraction)
    if not lists_quickly(config.source, Path(config.images or "")):  # otherwise they were looked at before
        warn_of_names(selection.classes)
    shards = plan_shards(survey, selection, config.seed, config.shard_mb, config.min_shards)
    with progress(WRITING_RECORDS, sum(len(shard.rows) for shard in shards), PHOTOS) as advance:
        places = write_shards(survey, selection, shards, out, config.threads, advance)
    seconds = time.perf_counter() - started
    write_index(survey, selection, places, out / "index.parquet")
    write_twins(survey, selection, out / "twins.parquet")
    write_text(out / "labels.txt", "".join(f"{label}\n" for label in selection.classes))
    write_pictures(out, pictured_photos(survey, selection))
    facts = _facts(config, survey, selection, passed_over)
    if facts["left_out"]:
        log.info("ingest: %s; the reasons are in index.parquet", facts["left_out_line"])
    shutil.rmtree(scratch)
    return {**facts, "photos_per_second": survey.count / seconds, "headline": _headline(config, facts)}


def _survey(config: IngestConfig, scratch: Path, passed_over: Counter[str], memo: Memo | None) -> Survey:
    root = Path(config.images or "")
    limits = Limits(config.max_pixels, config.max_frames, config.max_file_mb * 1_000_000, config.store_px)
    # Together with the code, these settings decide the result of checking a photo's bytes.
    decides = {"pixels": limits.pixels, "frames": limits.frames, "store_px": limits.store_px}
    known = KnownPhotos(memo.folder(**decides)) if memo else None
    find = known.find if known else lambda sha256: None
    spool = Spool(scratch / "spool.bin")
    try:
        listing = Listing(
            root,
            config.columns,
            spool,
            limits.file_bytes,
            lambda what: passed_over.update([what]),
            config.class_folder,
        )
        with progress(CHECKING_PHOTOS, _count(config, root), PHOTOS) as advance:
            survey = survey_photos(_photos(config, listing), root, scratch, limits, config.threads, advance, find)
    finally:
        spool.close()
    if memo and known:
        memo.note(new_photos=known.remember(survey.batches))
    return survey


def _photos(config: IngestConfig, listing: Listing) -> Iterator[Photo]:
    """Yield the source's photos, each with its group."""
    if isinstance(config, FlowersConfig) and config.is_drawn:
        photos = DRAWINGS["garden"](listing, config.drawn_per_class, config.seed)
    else:
        photos = SOURCES[config.source](listing)
    if config.group_pattern is None:
        yield from photos
        return
    pattern = re.compile(config.group_pattern)
    for photo in photos:
        found = pattern.search(photo.path)
        yield photo._replace(group=found.group(1) or "") if found else photo


def _count(config: IngestConfig, root: Path) -> int | None:
    """Count the photos in advance, if a terminal shows the progress and counting is quick; else return None."""
    if not sys.stderr.isatty() or config.is_drawn or not lists_quickly(config.source, root):
        return None
    return sum(1 for _ in SOURCES[config.source](Listing(root, config.columns, class_folder=config.class_folder)))


def _refuse_too_many(survey: Survey, config: IngestConfig) -> None:
    most = config.max_bad_fraction
    bad = survey.bad_rows()
    count = survey.count - int(survey.column("skipped", False).sum())
    if len(bad) <= most * count:
        return
    faults = Counter(Fault(survey.value(row, "fault") or Fault.unlabeled) for row in bad)
    examples: dict[str, list[str]] = {}
    for row in bad[:MOST_SHOWN]:
        examples.setdefault(survey.value(row, "reason"), []).append(survey.path(row))
    shown = "; ".join(f"{', '.join(paths)}: {reason}" for reason, paths in examples.items())
    fraction = -(-100 * len(bad) // count) / 100
    advice = "Fix or remove them"
    if installs := [ADVICE[fault] for fault in faults if fault in ADVICE]:
        advice = f"To read them: {' && '.join(installs)}. Or fix or remove them"
    raise UserError(
        f"{len(bad):,} of {count:,} photos can't be used, more than ingest.max_bad_fraction={most:g} allows:"
        f" {counted(faults)}.",
        f"For example: {shown}",
        *(
            [f"Paths are absolute, or relative to the manifest's folder: {Path(config.images or '').parent}"]
            if Fault.missing in faults and config.source == SourceKind.manifest
            else []
        ),
        f"{advice}, or allow more: ingest.max_bad_fraction={fraction:g}" if len(bad) < count else f"{advice}.",
    )


def _facts(config: IngestConfig, survey: Survey, selection: Selection, passed_over: Counter[str]) -> dict[str, Any]:
    counts = selection.counts()
    left_out = count_left_out(survey, selection.outcomes, selection.other, selection.test_copies)
    return {
        "origin": "drawn flowers" if config.is_drawn else "photos",
        "photos": counts["used"],
        "classes": len(selection.classes),
        **{split: len(selection.used(number)) for number, split in enumerate(SPLITS)},
        "left_out": left_out.total(),
        "left_out_line": left_out_line(left_out, survey.count),
        "left_out_by_kind": {fault.value: count for fault, count in left_out.most_common()},
        "nearly_black": _nearly_black(survey, selection),
        "quarantined": counts["quarantined"],
        "duplicates": counts["duplicate"],
        "near_twins": counts["near_twin"],
        "skipped": counts["skipped"],
        "passed_over": dict(sorted(passed_over.items())),
        "reencoded": survey.reencoded(),
        **_unused_splits(survey, selection),
        "split_by": "given" if selection.given else config.split.by.value.replace("auto", "hash"),
    }


def _unused_splits(survey: Survey, selection: Selection) -> dict[str, int]:
    """Return how many used photos the source assigns to splits, if these splits are not used."""
    stated, _ = survey.codes("stated_split")
    count = int(((stated >= 0) & (selection.outcomes == Outcome.used)).sum())
    return {"stated_splits": count} if count and not selection.given else {}


def _nearly_black(survey: Survey, selection: Selection) -> list[str]:
    """Return the paths of used photos that are nearly black."""
    noted = np.flatnonzero(survey.present("note") & (selection.outcomes == Outcome.used))
    return [survey.path(row) for row in noted.tolist() if survey.value(row, "note").startswith(NEARLY_BLACK)]


def _headline(config: IngestConfig, facts: Facts) -> str:
    kind = "DRAWN by the program, not photos" if config.is_drawn else "photos"
    dark: list[str] = facts["nearly_black"]
    line = f"data      {facts['photos']:,} {kind}, {facts['classes']} classes"
    if dark:
        line += f"; {len(dark):,} nearly black, such as {dark[0]}"
    return f"{line}\n          {facts['left_out_line']}" if facts["left_out"] else line
