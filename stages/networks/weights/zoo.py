"""The TF-Slim zoo's archives: a checkpoint and other files, which are ignored."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.fetching.archives import fault_of_member

AVERAGE = "ExponentialMovingAverage"
CHUNK_BYTES = 1 << 20


def check_archive(archive: Path, checkpoint: str) -> None:
    """Check that an archive is complete and contains the checkpoint, without writing anything.

    Raises:
        UserError: it is damaged, lacks the checkpoint, or contains links or unsafe names.
    """
    for _ in _members(archive, checkpoint):
        pass


@contextmanager
def unpacked(archive: Path, checkpoint: str) -> Iterator[Path]:
    """Unpack an archive's checkpoint next to it while the block runs; yield the checkpoint's prefix.

    Raises:
        UserError: the archive fails `check_archive`, or its folder is not writable.
    """
    folder = archive.with_name(archive.name + ".unpacked")
    with ExitStack() as cleanup:
        try:
            cleanup.enter_context(FileLock(archive.with_name(archive.name + ".lock")))
            shutil.rmtree(folder, ignore_errors=True)  # from an earlier attempt that was killed
            folder.mkdir()
            cleanup.callback(shutil.rmtree, folder)
            for name, content in _members(archive, checkpoint):
                with (folder / name).open("wb") as sink:
                    shutil.copyfileobj(content, sink, CHUNK_BYTES)
        except OSError as error:
            problem = f"{archive} can't be unpacked into its folder: {error.strerror}."
            raise UserError(problem, "Free some disk space, or set SLIMLINE_CACHE to a writable folder.") from error
        yield folder / checkpoint


def _members(archive: Path, checkpoint: str) -> Iterator[tuple[str, Any]]:
    """Yield the checkpoint's files, by name and as streams; check every member, and read to the very end."""
    found = set()
    try:
        # tarfile's own "r|gz" mistakes a truncated gzip stream for the end of the archive.
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
            for member in members:
                if fault := fault_of_member(member):
                    raise _unfit(archive, fault)
                name = PurePosixPath(member.name).name
                if member.isreg() and (name == checkpoint or name.startswith(f"{checkpoint}.")):
                    found.add(name)
                    yield name, members.extractfile(member)
            while stream.read(CHUNK_BYTES):  # the checksum is after the last byte
                pass
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _unfit(archive, f"can't be unpacked: {error}") from error
    # A single file is TensorFlow's first format, used in the zoo's archives of 2016.
    if checkpoint not in found and f"{checkpoint}.index" not in found:
        raise _unfit(archive, f"contains no {checkpoint}")


def _unfit(archive: Path, problem: str) -> UserError:
    return UserError(
        f"{archive} {problem}.",
        "Remove it and run again to download it again, or put the published file there.",
    )


def with_averages(values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return a checkpoint's variables, each replaced by its moving average if the checkpoint has one."""
    averages = {name.removesuffix(f"/{AVERAGE}"): value for name, value in values.items() if name.endswith(AVERAGE)}
    return {name: value for name, value in {**values, **averages}.items() if not name.endswith(AVERAGE)}


def pick_averages(values: Mapping[str, NDArray[Any]], names: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Pick a network's variables from a checkpoint, each replaced by its moving average if there is one.

    MobileNet-v2's checkpoints contain both; the published accuracy is that of the averages.

    Raises:
        UserError: a variable is missing, or has another shape.

    Source: https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/mobilenet_example.ipynb
    """
    picked, values = {}, with_averages(values)
    for name, shape in names.items():
        value = values.get(name)
        if value is None:
            problem = f"The checkpoint lacks the network's variable {name}."
            raise UserError(problem, "Check that it is from the same network.")
        if value.shape != tuple(shape):
            raise UserError(
                f"The checkpoint's {name} is {list(value.shape)}, but the network's is {list(shape)}.",
                "Check that it is from the same network, with the same multiplier and number of classes.",
            )
        picked[name] = value
    return picked
