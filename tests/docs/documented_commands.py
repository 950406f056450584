"""The commands in the Markdown files, and what shells make of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md")
    for path in ROOT.glob(pattern)
    if not path.name.startswith(".")
)
PROGRAMS = ("slimline", "python", "python3", "pip", "tensorboard", "git")
SHELLS = {
    "bash": ["bash", "--norc", "-s"],
    # As a person's terminal: comments are off in zsh there, and the most characters are special with EXTENDED_GLOB.
    "zsh": ["zsh", "-f", "-i", "-o", "extended_glob", "-o", "no_monitor", "-o", "no_prompt_sp", "-o", "no_prompt_cr"],
}
RECORDER = r"""
record() { printf '\36'; printf '%s\37' "$@"; } >> "$RECORDS"
command_not_found_handle() { record "$@"; }
command_not_found_handler() { record "$@"; }
function cd { record cd "$@"; }
function . { record . "$@"; }
PATH=/nowhere
"""
"""Every program and the two builtins that commands here use only note their words. No program is ever started."""

SPECIAL, SPECIAL_AT_START, SPECIAL_IN_QUOTES = set("[]*?^#~()$!`"), set("=~"), set("!`$")
"""What bash or zsh, with any of its options, may take for more than the character itself."""


def blocks(page: Path) -> list[str]:
    """Return the bash blocks of a page."""
    return re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def spans(page: Path) -> list[str]:
    """Return the commands of a page that are written within a line, as in a table."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"`([^`\n]+)`", text)
    return [span for span in found if {*PROGRAMS} & {*span.split()} and " " in span and "..." not in span]


def documented() -> list[object]:
    """List every block and every command within a line, named after its page."""
    return [
        pytest.param(text, id=f"{page.relative_to(ROOT)}: {text.splitlines()[0][:60]}")
        for page in PAGES
        for text in (*blocks(page), *spans(page))
    ]


def words(shell: str, text: str, folder: Path) -> list[list[str]]:
    """Return the words of each command that a shell would start for a text, in an empty folder.

    Raises:
        AssertionError: the shell complains.
    """
    (folder / "empty").mkdir()
    records = folder / "records"
    records.touch()
    environment = {"PATH": os.environ["PATH"], "RECORDS": str(records), "PS1": "", "PS2": "", "TERM": "dumb"}
    done = subprocess.run(
        [str(shutil.which(shell)), *SHELLS[shell][1:]],
        input=f"{RECORDER}{text}\n",
        cwd=folder / "empty",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert done.stderr.strip() == "", done.stderr
    found = records.read_text(encoding="utf-8").split("\36")[1:]
    return [record.split("\37")[:-1] for record in found]


def unquoted(text: str) -> Iterator[str]:
    """Yield each character that no quotes keep from a shell, with what follows it."""
    quote, at_start, escaped = "", True, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            if character == quote:
                quote = ""
            elif quote == '"' and character in SPECIAL_IN_QUOTES:
                yield text[place : place + 20]
        elif character in "'\"":
            quote = character
        elif character in SPECIAL or (at_start and character in SPECIAL_AT_START):
            yield text[place : place + 20]
        at_start = not quote and not escaped and character.isspace()
