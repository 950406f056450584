"""The prose of docs, comments and messages: worn-out or archaic phrases are kept out of every tracked file."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
EXCEPTED = {Path("CHANGELOG.md"), Path("tests/docs/test_prose.py")}
SUFFIXES = {".md", ".yaml", ".yml", ".html", ".js", ".css", ".toml", ".cff", ".sh"}
PLACES = ("benchmarks", "conf", "docs", "examples", "pipeline", "slimline", "stages", "tests")
"""The folders that are walked where git cannot list the tracked files."""


class Pattern(NamedTuple):
    """A phrase to avoid as a regular expression, texts that it finds, and what to write instead."""

    phrase: re.Pattern[str]
    found: tuple[str, ...]
    instead: str


def pattern(phrase: str, *found: str, instead: str) -> Pattern:
    return Pattern(re.compile(phrase, re.IGNORECASE), found, instead)


PATTERNS = [
    pattern(r"\banew\b", "the folder is made anew", instead="again, rebuilt, re-encoded, re-initialized"),
    pattern(r"\bthere twice\b", "a class that is there twice", instead="duplicate"),
    pattern(r"\bheed\w*", "it heeds the seed", "heeding signals", instead="follow, handle, use"),
    pattern(r"\bmend(s|ed|ing)?\b", "a mistake to mend", "mended files", instead="fix, correct, repair"),
    pattern(r"\bbe had\b", "the file can't be had", "what can be had", instead="is (not) available"),
    pattern(
        r"\basks? (for nothing|nobody)\b", "a page that asks for nothing", instead="loads nothing, is self-contained"
    ),
    pattern(
        r"(?<!there )\b(is|are) no (?!longer|more|faster|slower|better|worse)[a-z]+",
        "labels.txt is no model",
        "files that are no photos",
        instead="is not a ..., are not valid ...",
    ),
    pattern(
        r"\b(is|are|was|were)(n't| not) there\b",
        "the run isn't there",
        "files that are not there",
        instead="does not exist, was not found, is missing",
    ),
    pattern(r"\bof (ours|theirs)\b", "a name of ours", "files of theirs", instead="our ..., their ..."),
    pattern(r"\bwhoever\b", "whoever reads it", instead="name the reader: users, callers, plug-ins"),
    pattern(r"\b(go|goes|went|going) on\b", "training goes on", "to go on with", instead="continue, resume, proceed"),
    pattern(r"\bunder way\b", "a run under way", instead="in progress, running"),
    pattern(r"\b(lies?|stands?) beside\b", "it lies beside the model", instead="is next to, is in the folder of"),
    pattern(r"\bstands? in for\b", "a stub stands in for it", instead="replaces, is used instead of"),
    pattern(r"\bit goes with\b", "the file that it goes with", instead="belongs to, matches"),
    pattern(
        r"\b(a|an|one) \w+ an? (line|row|photo|class|stage|split|phase|epoch)\b",
        "a name a line",
        "one row a photo",
        instead="one ... per ...",
    ),
    pattern(r"\b(leave|leaves|left) away\b", "leave away the suffix", instead="omit, leave out, remove"),
    pattern(r"\bgives? way\b", "the default gives way", instead="is replaced by, has lower priority"),
    pattern(r"\bcomes? of (?!age)", "what comes of it", instead="results from"),
    pattern(r"\bas (it|they) (was|were) meant\b", "used as they were meant", instead="as intended"),
    pattern(r"\bever after\b", "returned ever after", instead="from then on, always"),
    pattern(r"\botherwise than\b", "named otherwise than before", instead="differently from"),
    pattern(r"\bnamed (otherwise|alike)\b", "photos named otherwise", instead="classified differently, the same"),
    pattern(r"\bheld against\b", "runs held against the first", instead="compared with"),
    pattern(r"\bin good order\b", "it ends in good order", instead="cleanly, completely"),
    pattern(r"\bcome again\b", "told to come again", instead="try again later"),
    pattern(r"\bthere is no such\b", "there is no such choice", instead="... is not a valid ..., does not exist"),
    pattern(
        r"\b(albeit|henceforth|hitherto|lest|naught|nought|there(in|of|on|upon)|where(in|of|upon)|whence|whilst)\b",
        "the folder and all therein",
        "whence it came",
        instead="a plain word: in it, of it, where, from where, while",
    ),
]
PLAIN = """
The download is not available. There are no photos. It is no longer used, and is no faster than before.
One row per photo; duplicates are removed. The folder does not exist. Check the file's permissions.
The photo lies in its class folder, and the model stands next to it. Recommended for many photos. The amendment.
"""

Piece = tuple[int, str]
"""A part of a text, and the number of its first line."""


def tracked_files() -> list[Path]:
    """Return the tracked files by their paths in the project, or without git all files of the project's folders."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError):  # git is not installed, or this is not a checkout
        listed = []
    found = [Path(name) for name in listed if name] or [
        path.relative_to(ROOT)
        for path in [*ROOT.glob("*"), *(path for place in PLACES for path in (ROOT / place).rglob("*"))]
    ]
    return sorted(path for path in found if (ROOT / path).is_file() and not (ROOT / path).is_symlink())


def is_script(path: Path) -> bool:
    """Tell whether a file without a suffix is a script, by its first two bytes."""
    with path.open("rb") as file:
        return not path.suffix and file.read(2) == b"#!"


def python_texts(source: str) -> Iterator[list[Piece]]:
    """Yield each comment block, docstring and string literal of a Python file; adjacent literals are one text."""
    strings: list[Piece] = []
    comments: list[Piece] = []
    depth = 0  # in nested f-strings, which are several tokens since Python 3.12
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind, line = tokenize.tok_name[token.type], token.start[0]
        if kind == "COMMENT":
            if comments and comments[-1][0] < line - 1:
                yield comments
                comments = []
            comments.append((line, f"{token.string.lstrip('#').strip()}\n"))
        elif kind == "STRING":
            strings.append((line, re.sub(r"^\w*('''|\"\"\"|'|\")(.*)\1$", r"\2", token.string, flags=re.DOTALL)))
        elif kind.endswith("STRING_MIDDLE"):
            strings.append((line, token.string))
        elif kind.endswith("STRING_START"):
            depth += 1
        elif kind.endswith("STRING_END"):
            depth -= 1
        elif depth:
            strings.append((line, "{}"))
        elif kind != "NL" and strings:
            yield strings
            strings = []
    yield comments
    yield strings


def without_markers(text: str) -> str:
    """Return a text without the markers at its lines' starts that make it a comment, a heading or a quotation."""
    return re.sub(r"^[ \t]*(#|//|>)+(?=\s)", "", text, flags=re.MULTILINE)


def on_one_line(pieces: Iterable[Piece]) -> tuple[str, list[int]]:
    """Return a text with each space, line break and indentation as one space, and the line of each character.

    A blank line stays a line break, so that no phrase reaches from one paragraph into the next.
    """
    characters, lines = [], []
    for start, text in pieces:
        line = start
        for part in re.findall(r"\s+|\S", text):
            characters.append(part if not part.isspace() else "\n" if part.count("\n") > 1 else " ")
            lines.append(line)
            line += part.count("\n")
    return "".join(characters), lines


def hits(path: Path, source: str) -> Iterator[str]:
    """Yield place, phrase and advice for each phrase to avoid in a file."""
    texts = python_texts(source) if path.suffix == ".py" else [[(1, without_markers(source))]]
    for pieces in texts:
        text, lines = on_one_line(pieces)
        for one in PATTERNS:
            for match in one.phrase.finditer(text):
                yield f"{path}:{lines[match.start()]}: {match.group()!r}; write: {one.instead}"


def test_tracked_files_are_in_plain_english() -> None:
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the tests are not in the project's folder")
    files = [path for path in tracked_files() if path not in EXCEPTED]
    read = [path for path in files if path.suffix in {".py", *SUFFIXES} or is_script(ROOT / path)]
    assert len(read) > 300
    found = [hit for path in read for hit in hits(path, (ROOT / path).read_text(encoding="utf-8"))]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("one", PATTERNS, ids=lambda one: one.found[0])
def test_each_phrase_is_found(one: Pattern) -> None:
    for text in one.found:
        for source in (text, text.upper(), text.replace(" ", "\n"), f"A first line.\n# A comment, {text}."):
            assert [hit for hit in hits(Path("page.md"), source) if hit.endswith(one.instead)], source


PLACED = {
    "a docstring": ('def one():\n    """Do it.\n\n    The folder is made\n    anew.\n    """\n', 5),
    "a comment": ("one = 1\ntwo = 2  # made anew\n", 2),
    "a comment of two lines": ("# Files that are\n# no photos.\none = 1\n", 1),
    "a literal": ("one = 'made anew'\n", 1),
    "adjacent literals": ('raise E(\n    "the file can not be"  # why\n    f" had"\n)\n', 2),
    "a formatted literal": ('one = f"{1 + 1} files, {2:>{3}} made anew"\n', 1),
    "a raw literal": ('one = 2\nmatch = r"labels\\.txt is no model"\n', 2),
    "a literal in a formatted one": ("one = f\"{two('made anew')}\"\n", 1),
}


@pytest.mark.parametrize("place", PLACED)
def test_a_phrase_is_found_in_python(place: str) -> None:
    source, line = PLACED[place]
    [hit] = hits(Path("one.py"), source)
    assert hit.startswith(f"one.py:{line}: ")


def test_plain_texts_are_not_found() -> None:
    assert list(hits(Path("page.md"), PLAIN)) == []
    assert list(hits(Path("one.py"), f'"""{PLAIN}"""\nanew = there.twice(heed)  # {PLAIN.split(".")[0]}\n')) == []
    assert (
        list(hits(Path("page.md"), "# What there is\n\nno photo\n\n- it is\n- no photo: there\n  are no files")) == []
    )
    assert list(hits(Path("one.py"), 'one("it is")\ntwo("no photo")\n# it is\n\n# no photo\n')) == []
