"""The files around the code: they parse, agree with each other, and point to what exists."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import slimline
from slimline.stages.table import STAGES
from tests.docs.documented_commands import PAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DRAWINGS = sorted((ROOT / "docs").glob("*.svg"))
CHECKS = (ROOT / "tests/check.sh").read_text(encoding="utf-8")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def read_yaml(name: str) -> dict[str, Any]:
    """Read a YAML file; "on", which YAML 1.1 takes for true, is a word in workflows."""
    found = yaml.safe_load(read(name))
    return {"on" if key is True else key: value for key, value in found.items()}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_workflow_runs_the_readmes_command_on_each_python_and_builds_the_wheel() -> None:
    jobs = read_yaml(".github/workflows/check.yml")["jobs"]
    supported = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert jobs["test"]["strategy"]["matrix"]["python"] == supported
    assert [step["run"] for step in jobs["test"]["steps"] if "run" in step] == [".ci/run"]
    assert any("pip wheel" in step.get("run", "") for step in jobs["wheel"]["steps"])
    for job in jobs.values():
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
        assert job["timeout-minutes"] > 0
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_hooks_run_the_checks_by_the_tools_of_the_environment() -> None:
    [repository] = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = {hook["entry"]: hook["language"] for hook in repository["hooks"]}
    assert set(hooks.values()) == {"system"}
    for entry in hooks:
        assert re.search(rf"\b{entry}\b", CHECKS), f"tests/check.sh does not run {entry}"


def test_the_citation_names_this_version_and_nobody_in_particular() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == slimline.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert {"title", "message", "type"} <= set(citation)


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\] - (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0][0] == slimline.__version__
    assert all(re.fullmatch(r"Unreleased|\d{4}-\d{2}-\d{2}", date) for _, date in versions)
    kinds = set(re.findall(r"^### (.+)$", read("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_editors_configuration_has_the_width_that_ruff_checks() -> None:
    config = configparser.ConfigParser()
    config.read_string("[top]\n" + read(".editorconfig"))
    ruff = tomllib.loads(read("pyproject.toml"))["tool"]["ruff"]
    assert config["*"]["max_line_length"] == str(ruff["line-length"])
    assert config["top"]["root"] == "true"


def test_the_table_of_stages_is_whole() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", read("docs/architecture.md"), re.MULTILINE)
    assert sorted(name.strip("`") for row in rows for name in row.split(", ")) == sorted(STAGES)


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda path: path.name)
def test_a_drawing_stands_alone_and_follows_the_readers_colors(drawing: Path) -> None:
    text = drawing.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"href=|@import|url\((?!#)|<script|<image", text)
    assert root.get("aria-labelledby") == "title description"


def test_there_is_a_drawing() -> None:
    assert [path.name for path in DRAWINGS] == ["architecture.svg"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_is_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_folder_of_one_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.~*])/(?:home|root|work|tmp|Users)/\S*", page.read_text(encoding="utf-8")) == []
