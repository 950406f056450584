"""Commands that messages suggest can be pasted into bash and zsh: brackets are quoted."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIX = re.compile(r"(?<!['\w.])\+?[a-z_]+\.[a-z_.]+=\[(?!\])[^\]]*\]")
"""A setting with a list that is not empty, which no quote precedes: zsh takes it for a pattern."""


def test_suggested_lists_are_quoted_for_the_shell() -> None:
    found = []
    for folder in ("pipeline", "stages", "slimline"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                advice = re.search(r"\"(Name|Set|Use|Write|Keep|Add|Choose|Check|Give|Remove)\b.*", line)
                if advice and FIX.search(advice.group()):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {advice.group()}")
    assert found == []


def test_an_unquoted_list_is_found() -> None:
    assert FIX.search("Write run.targets=[ingest].")
    assert not FIX.search("Write 'run.targets=[ingest]'.")
