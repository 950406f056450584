"""The journal of a sweep: a line of JSON for each event, appended by any number of processes."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from slimline.pipeline.errors import UserError

log = logging.getLogger(__name__)

Record = dict[str, Any]


class Journal:
    """A file of JSON lines. An append is flushed to disk before it returns: a killed sweep loses no finished point.

    A process that is killed while it writes can leave an incomplete last line. Readers ignore it, and `repair` removes
    it before the next append, which would otherwise be glued to it.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        """Open the journal; `lock` guards appends, and the same process may hold it already."""
        self._path, self._lock = path, lock
        self._read_bytes = 0

    def append(self, records: Sequence[Record]) -> None:
        """Append records; a reader sees each of them whole or not at all, also after a crash of this process."""
        if not records:
            return
        text = "".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in records)
        with self._lock:
            self.repair()
            with self._path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())

    def read_new(self) -> Iterator[Record]:
        """Yield the complete records that were appended since the last call, by any process."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            yield self._record(line)

    def _record(self, line: bytes) -> Record:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.damaged(line)
        return found

    def damaged(self, line: object) -> UserError:
        """Return the error for a record that cannot be used."""
        text = line.decode(errors="replace") if isinstance(line, bytes) else json.dumps(line)
        return UserError(
            f"{self._path} is damaged: a line cannot be read ({text[:40]!r}).",
            "Remove this line: the points that it describes run again. Or begin another sweep: run.sweep.new=true.",
        )

    def repair(self) -> bool:
        """Remove an incomplete last line; return whether there was one."""
        with self._lock:
            if not self._path.is_file():
                return False
            with self._path.open("r+b") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(end - 1, 0))
                if file.read() in (b"", b"\n"):
                    return False
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
                os.fsync(file.fileno())
        log.info("%s: its last line was incomplete and was removed", self._path.name)
        return True
