"""The TF-Slim zoo's archives: a checkpoint among other files, which are left alone."""

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
    """Check that an archive is whole and holds the checkpoint, without writing anything.

    Raises:
        UserError: it is damaged, lacks the checkpoint, or holds links or names that lie outside of it.
    """
    for _ in _members(archive, checkpoint):
        pass


@contextmanager
def unpacked(archive: Path, checkpoint: str) -> Iterator[Path]:
    """Unpack an archive's checkpoint beside it for as long as it is needed; give the checkpoint's prefix.

    Raises:
        UserError: as `check_archive` does, or the archive's folder can't be written to.
    """
    folder = archive.with_name(archive.name + ".unpacked")
    with ExitStack() as cleanup:
        try:
            cleanup.enter_context(FileLock(archive.with_name(archive.name + ".lock")))
            shutil.rmtree(folder, ignore_errors=True)  # what an earlier, killed try left
            folder.mkdir()
            cleanup.callback(shutil.rmtree, folder)
            for name, content in _members(archive, checkpoint):
                with (folder / name).open("wb") as sink:
                    shutil.copyfileobj(content, sink, CHUNK_BYTES)
        except OSError as error:
            problem = f"{archive} can't be unpacked beside it: {error.strerror}."
            raise UserError(
                problem, "Make room, or have SLIMLINE_CACHE name a folder that can be written to."
            ) from error
        yield folder / checkpoint


def _members(archive: Path, checkpoint: str) -> Iterator[tuple[str, Any]]:
    """Yield the checkpoint's files, by name and as streams; look at every member, and read to the very end."""
    found = set()
    try:
        # tarfile's own "r|gz" takes a gzip stream that breaks off for the end of the archive.
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
    # One file is TensorFlow's first format, which the zoo's archives of 2016 have.
    if checkpoint not in found and f"{checkpoint}.index" not in found:
        raise _unfit(archive, f"holds no {checkpoint}")


def _unfit(archive: Path, problem: str) -> UserError:
    return UserError(
        f"{archive} {problem}.",
        "Remove it and run again to download it anew, or put the published file there.",
    )


def with_averages(values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return a checkpoint's variables, each as its running average where the checkpoint has that too."""
    averages = {name.removesuffix(f"/{AVERAGE}"): value for name, value in values.items() if name.endswith(AVERAGE)}
    return {name: value for name, value in {**values, **averages}.items() if not name.endswith(AVERAGE)}


def pick_averages(values: Mapping[str, NDArray[Any]], names: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Pick a network's variables from a checkpoint, as their running averages where it has these too.

    MobileNet-v2's checkpoints hold both; the published accuracy is that of the averages.

    Raises:
        UserError: a variable is missing, or has another shape.

    Source: https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/mobilenet_example.ipynb
    """
    picked, values = {}, with_averages(values)
    for name, shape in names.items():
        value = values.get(name)
        if value is None:
            raise UserError(f"The checkpoint lacks the network's variable {name}.", "Is it of another network?")
        if value.shape != tuple(shape):
            raise UserError(
                f"The checkpoint's {name} is {list(value.shape)}, where the network's is {list(shape)}.",
                "Is it of another network, multiplier or number of classes?",
            )
        picked[name] = value
    return picked
