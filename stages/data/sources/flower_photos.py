"""TensorFlow's flower_photos: 3,670 photos of flowers, one folder per class."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import sys
import tarfile
import zlib
from pathlib import Path

import rich.progress
from filelock import FileLock
from rich.console import Console

from slimline.pipeline.errors import UserError
from slimline.stages.fetching.archives import fault_of_member
from slimline.stages.fetching.download import download

log = logging.getLogger(__name__)

URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
SIZE_BYTES = 228_813_984
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
TOP_FOLDER = "flower_photos"


def fetch_flower_photos(
    folder: Path,
    *,
    url: str = URL,
    sha256: str = SHA256,
    size_bytes: int | None = SIZE_BYTES,
    reach_seconds: float = 5.0,
) -> Path:
    """Download and unpack flower_photos to `folder`, unless it exists; return `folder`.

    Meanwhile the archive is stored next to `folder`, as flower_photos.tgz. If you put it there by hand, it is not
    downloaded. `folder` appears in one step, with everything in it.

    Raises:
        Unreachable: as `download` does.
        UserError: as `download` does, or the archive holds other members than files and folders.

    Source: https://www.tensorflow.org/datasets/catalog/tf_flowers
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.parent / "flower_photos.tgz"
    # Named after the archive, which two folders with the same parent share.
    with FileLock(archive.with_suffix(".lock")):
        if not folder.exists():
            download(url, archive, digest=f"sha256:{sha256}", size_bytes=size_bytes, reach_seconds=reach_seconds)
            _unpack(archive, folder)
            archive.unlink()
            log.info("flower_photos is in %s", folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack next to `folder`, then rename. Remove what an earlier, interrupted run left."""
    unfinished = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        _extract(archive, unfinished)
        if not (unfinished / TOP_FOLDER).is_dir():
            raise _unfit(archive, f"has no folder {TOP_FOLDER}/ in it")
        # The photos must be on the disk before the folder gets its name, and one sync is faster than 3,670.
        os.sync()
        os.replace(unfinished / TOP_FOLDER, folder)
    finally:
        shutil.rmtree(unfinished)


def _extract(archive: Path, target: Path) -> None:
    console, silent = Console(stderr=True), not sys.stderr.isatty()
    try:
        with (
            rich.progress.open(archive, "rb", description="Unpacking", console=console, disable=silent) as packed,
            # tarfile's own "r|gz" takes the end of a truncated gzip stream for the end of the archive.
            gzip.open(packed) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|") as members,
        ):
            for member in members:
                if fault := fault_of_member(member):
                    raise _unfit(archive, fault)
                members.extract(member, target, filter="data")
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _unfit(archive, f"can't be unpacked: {error}") from error


def _unfit(archive: Path, problem: str) -> UserError:
    """Remove the archive, so that the next run doesn't use it, and return the error."""
    archive.unlink()
    return UserError(
        f"{archive.name} {problem}.",
        "It was removed. It may hold only files and folders, inside one folder flower_photos/.",
        "Run again. If you set its url and sha256 yourself, check them.",
    )
