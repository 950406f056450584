"""Photos that could not be classified, and files that are not photos: a summary in one line, and the first reasons."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath

from slimline.pipeline.config_files import shown
from slimline.stages.data.checking.input_files import printable
from slimline.stages.images.faults import Fault, left_out_line
from slimline.stages.serving.classified import Classified

MOST_NAMED = 5
MOST_EXTENSIONS = 3
OTHER = "other file"


def kind_of(photo: Classified) -> str:
    """Return the kind of a photo that was left out, in a word or two."""
    return OTHER if photo.skipped or photo.fault is None else photo.fault.value


class LeftOut:
    """Counts of photos that were left out by kind, and the first of them with their reasons."""

    def __init__(self) -> None:
        self._faults: Counter[Fault] = Counter()
        self._extensions: Counter[str] = Counter()
        self._first: list[str] = []

    @property
    def count(self) -> int:
        """The number of photos that could not be classified."""
        return self._faults.total()

    def add(self, photo: Classified) -> None:
        """Count a photo that has a reason."""
        if photo.skipped:
            self._extensions[PurePath(photo.path).suffix.lower() or "no extension"] += 1
            return
        self._faults[photo.fault or Fault.unreadable] += 1
        if len(self._first) < MOST_NAMED:
            self._first.append(f"{printable(photo.path)}: {photo.reason}")

    def line(self, classified: int) -> str:
        """Return the summary: `left out 4 of 24: 3 HEIC (pip install pillow-heif), 1 damaged`; empty for none."""
        line = left_out_line(self._faults, classified + self.count)
        if others := self._extensions.total():
            names = [name for name, _ in self._extensions.most_common()]
            more = ", ..." if len(names) > MOST_EXTENSIONS else ""
            files = f"{others:,} {OTHER}{'s' if others > 1 else ''} ({', '.join(names[:MOST_EXTENSIONS])}{more})"
            line = f"{line}; also {files}" if line else f"left out {files}"
        return line

    def reasons(self, classified: int, list_of_all: Path) -> str:
        """Return the first photos with their reasons, one per line, and where all of them are listed."""
        how_many = f"{self.count:,} of {classified + self.count:,} photos could not" if classified else "No photo could"
        lines = [f"{how_many} be classified:"]
        lines += [f"  {one}" for one in self._first]
        more = self.count - len(self._first)
        lines.append(f"{f'{more:,} more, and all reasons' if more else 'All reasons'}: {shown(list_of_all)}")
        return "\n".join(lines)
