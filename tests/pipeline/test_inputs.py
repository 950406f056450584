"""Inputs of a kept artifact, found in its run or in its store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slimline.pipeline.artifact import read_artifact, seal, write_text
from slimline.pipeline.inputs import find_input


def kept(folder: Path, text: str, inputs: dict[str, str] | None = None) -> Path:
    """Keep an artifact in a folder `<stage>/<key>/<generation>`."""
    folder.mkdir(parents=True)
    write_text(folder / "numbers.txt", text)
    stage, key, _ = folder.parts[-3:]
    seal(folder, stage, key, 0.0, {}, {"inputs": inputs or {}})
    return folder


@pytest.fixture
def store(tmp_path) -> Path:
    """A store in which `fit` was made from the second generation of one `gather` artifact of three."""
    store = tmp_path / "runs/store"
    for number, place in enumerate(("a/1", "a/2", "b/1")):
        kept(store / "gather" / place, str(number))
    digest = read_artifact(store / "gather/a/2", 2).digest
    kept(store / "fit/c/1", "model", {"gather": digest})
    return store


def linked(store: Path, run: Path, **places: str) -> Path:
    """Make a run that links artifacts of the store; return the folder of its links."""
    links = run / "artifacts"
    links.mkdir(parents=True)
    for stage, place in places.items():
        (links / stage).symlink_to(Path("../../../store") / stage / place)
    return links


def found(folder: Path) -> Path | None:
    return find_input(read_artifact(folder, 1), "gather")


def test_an_input_is_found_in_the_store_by_its_content(store):
    assert found(store / "fit/c/1") == store / "gather/a/2"


def test_an_input_is_found_next_to_the_artifact_in_its_run(store):
    links = linked(store, store.parent / "flowers/v001", fit="c/1", gather="a/2")
    assert found(links / "fit") == links / "gather"


def test_a_link_to_another_artifact_is_not_taken(store):
    """The artifact in the store is."""
    links = linked(store, store.parent / "flowers/v001", fit="c/1", gather="b/1")
    assert found(links / "fit") == store / "gather/a/2"


def test_runs_and_stores_can_be_moved_as_a_whole(store, tmp_path):
    linked(store, store.parent / "flowers/v001", fit="c/1", gather="a/2")
    moved = tmp_path / "elsewhere"
    store.parent.rename(moved)
    assert found(moved / "store/fit/c/1") == moved / "store/gather/a/2"
    assert found(moved / "flowers/v001/artifacts/fit") == moved / "flowers/v001/artifacts/gather"


def test_a_run_that_was_copied_with_its_files_needs_no_store(store, tmp_path):
    linked(store, store.parent / "flowers/v001", fit="c/1", gather="a/2")
    shutil.copytree(store.parent / "flowers/v001", tmp_path / "copy")
    shutil.rmtree(store.parent)
    assert found(tmp_path / "copy/artifacts/fit") == tmp_path / "copy/artifacts/gather"


def test_an_input_that_is_gone_is_not_found(store, tmp_path):
    shutil.copytree(store / "fit/c/1", tmp_path / "alone")
    assert found(tmp_path / "alone") is None
    shutil.rmtree(store / "gather/a/2")
    assert found(store / "fit/c/1") is None
