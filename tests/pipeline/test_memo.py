"""Memos: their keys, and how the runner uses them; with toy stages and without TensorFlow."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline import keys, memo
from slimline.pipeline.artifact import Artifact, Facts, digest_text, write_text
from slimline.pipeline.code import Code
from slimline.pipeline.memo import Memo
from slimline.pipeline.run import read_manifest
from slimline.pipeline.stage import Stage, stage
from slimline.pipeline.store import Store

CODE, VERSIONS = {"toys.fit": "c1"}, {"numpy": "2.1.0"}
DECIDES: dict[str, Any] = {"base": "d1", "sizes": [1, 2.5], "precision": None}


def folder(root: Path, code: dict[str, str] = CODE, versions: dict[str, str] = VERSIONS, **decides: Any) -> Path:
    return Memo(root, code, versions).folder(**(decides or DECIDES))


def test_the_content_of_a_memos_key(tmp_path: Path) -> None:
    text = (
        '{"code":{"toys.fit":"c1"},"decides":{"base":"d1","precision":null,"sizes":[1,2.5]},'
        '"format":1,"versions":{"numpy":"2.1.0"}}'
    )
    made = folder(tmp_path / "memo")
    assert made == tmp_path / "memo" / digest_text(text)[:32]
    assert made.name == "3c3cef907cad03ebe916cc75935facd6"
    assert made.is_dir()
    assert len(made.name) == memo.KEY_LENGTH == keys.KEY_LENGTH


@pytest.mark.parametrize(
    "change",
    [
        {"code": {"toys.fit": "c2"}},
        {"code": {**CODE, "toys.more": "c1"}},
        {"versions": {"numpy": "2.2.0"}},
        {"versions": {}},
        {**DECIDES, "base": "d2"},
        {**DECIDES, "sizes": [2.5, 1]},
        {**DECIDES, "precision": "float32"},
        {"base": "d1", "sizes": [1, 2.5]},
    ],
    ids=str,
)
def test_every_deciding_value_changes_the_folder(tmp_path: Path, change: dict[str, Any]) -> None:
    assert folder(tmp_path, **change) != folder(tmp_path)


def test_the_same_folder_is_found_again_with_its_content(tmp_path: Path) -> None:
    (folder(tmp_path) / "kept").write_text("kept")
    again = folder(tmp_path, precision=None, sizes=[1, 2.5], base="d1")
    assert (again / "kept").read_text() == "kept"


def test_a_value_that_is_not_json_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        folder(tmp_path, path=Path("a"))
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_memo_is_emptied_once_and_only_if_it_is_opened(tmp_path: Path) -> None:
    mine, other = folder(tmp_path), folder(tmp_path, base="d2")
    for path in (mine / "part", mine / ".part.tmp", mine / "parts" / "1", other / "part"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    fresh = Memo(tmp_path, CODE, VERSIONS, fresh=True)
    assert fresh.folder(**DECIDES) == mine
    assert [path.name for path in mine.iterdir()] == [".part.tmp"]
    assert (other / "part").exists()
    (mine / "part").write_text("new")
    fresh.folder(**DECIDES)
    assert (mine / "part").read_text() == "new"


def test_artifacts_are_listed_without_the_memo(tmp_path: Path) -> None:
    @stage()
    def fit(config: Config, out: Path) -> Facts:
        return {}

    store = Store(tmp_path / "store")
    made, _ = store.obtain(fit, "ab12", {}, lambda out: {"count": 1})
    kept = store.memo("fit", Code(CODE, VERSIONS)).folder(**DECIDES)
    assert kept.parent == tmp_path / "store" / "fit" / "memo"
    (kept.parent / ("1" * 32)).mkdir()  # a key of digits only looks like a generation
    assert list(store.all_of("fit")) == [made]


# A stage with a memo, in a run: the toy `polish`, which here keeps each number that it polished.


@dataclass
class Config:
    grit: int = 80


@stage()
def remember(config: Config, out: Path, *, gather: Artifact, memo: Memo) -> Facts:
    return {}


def polish(config: Any, out: Path, *, gather: Artifact, memo: Memo) -> Facts:
    """Polish each number independently of the others."""
    kept = memo.folder(grit=config.grit)
    numbers = (gather.path / "numbers.txt").read_text().split()
    missing = [number for number in numbers if not (kept / number).exists()]
    for number in missing:
        write_text(kept / number, number * config.grit)
    memo.note(computed=len(missing))
    write_text(out / "polished.txt", "\n".join((kept / number).read_text() for number in numbers))
    return {"count": len(numbers)}


@pytest.fixture
def remembering(toys: Any) -> Any:
    toys.stages["polish"] = Stage(**{**vars(toys.stages["polish"]), "function": polish, "wants_memo": True})
    return toys


def entry(toys: Any, size: int, force: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    run = toys.execute({"targets": ["polish"], "force": list(force)}, gather={"size": size}, polish=settings)
    found: dict[str, Any] = read_manifest(run.path)["stages"]["polish"]
    return found


def test_a_stage_declares_its_memo_by_a_parameter() -> None:
    assert remember.wants_memo
    assert remember.inputs == ("gather",)

    @stage(cache=False)
    def tell(config: Config, out: Path, *, memo: Memo) -> Facts:
        return {}

    assert (tell.wants_memo, tell.wants_record, tell.inputs) == (True, False, ())


def test_a_memo_under_another_name_is_refused() -> None:
    def fit(config: Config, out: Path, *, memory: Memo) -> Facts: ...

    with pytest.raises(TypeError, match="stage fit: memory is annotated"):
        stage()(fit)


def test_results_for_one_artifact_are_reused_for_the_next(remembering: Any) -> None:
    assert entry(remembering, 3)["facts"] == {"count": 3, "computed": 3}
    assert entry(remembering, 5)["facts"] == {"count": 5, "computed": 2}
    assert entry(remembering, 4)["facts"] == {"count": 4, "computed": 0}
    assert entry(remembering, 4, grit=60)["facts"] == {"count": 4, "computed": 4}


def test_a_cached_artifact_notes_nothing(remembering: Any) -> None:
    entry(remembering, 3)
    again = entry(remembering, 3)
    assert (again["cached"], again["facts"]) == (True, {"count": 3})


def test_edited_code_and_other_versions_compute_again(remembering: Any) -> None:
    entry(remembering, 3)
    remembering.code["polish"] = {"toys.polish": "edited"}
    assert entry(remembering, 3)["facts"]["computed"] == 3
    remembering.versions = {"numpy": "2.2.0"}
    assert entry(remembering, 3)["facts"]["computed"] == 3


def test_force_computes_again(remembering: Any) -> None:
    entry(remembering, 3)
    assert entry(remembering, 4, force=("polish",))["facts"]["computed"] == 4
    assert entry(remembering, 5)["facts"]["computed"] == 1


def test_an_artifact_is_the_same_with_and_without_a_memo(
    remembering: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = entry(remembering, 4)
    remembering.folder = tmp_path / "elsewhere"
    entry(remembering, 3)
    with caplog.at_level(logging.INFO, logger="slimline.pipeline"):
        helped = entry(remembering, 4)
    assert (alone["facts"]["computed"], helped["facts"]["computed"]) == (4, 1)
    assert (helped["key"], helped["digest"]) == (alone["key"], alone["digest"])
    assert any(record.getMessage().endswith("count 4, computed 1") for record in caplog.records)


def test_a_stage_that_is_never_cached_has_its_memo_too(toys: Any, tmp_path: Path) -> None:
    def tell(config: Any, out: Path, *, fit: Artifact, memo: Memo) -> Facts:
        kept = memo.folder(title=config.title)
        told = len(list(kept.iterdir()))
        write_text(kept / str(told), "told")
        memo.note(told=told)
        return {"title": config.title}

    changed = {"function": tell, "wants_memo": True, "wants_record": False}
    toys.stages["tell"] = Stage(**{**vars(toys.stages["tell"]), **changed})
    facts = [read_manifest(toys.execute().path)["stages"]["tell"]["facts"] for _ in range(2)]
    assert facts == [{"title": "toy", "told": 0}, {"title": "toy", "told": 1}]


def test_a_choice_that_does_not_affect_the_memo_leaves_it_unchanged(remembering: Any) -> None:
    polish = remembering.stages["polish"]

    def choose(name: str, *without: str) -> None:
        remembering.stages["polish"] = replace(
            polish, choices=lambda config: {"toys.table": [name]}, memo_without=without
        )

    choose("toys.coarse:ROW")
    assert entry(remembering, 3)["facts"]["computed"] == 3
    choose("toys.fine:ROW")
    assert entry(remembering, 3)["facts"]["computed"] == 3
    choose("toys.fine:ROW", "toys.table")
    assert entry(remembering, 3, force=("gather",))["cached"]
    assert entry(remembering, 4)["facts"]["computed"] == 4
    choose("toys.coarse:ROW", "toys.table")
    assert entry(remembering, 5)["facts"]["computed"] == 1
