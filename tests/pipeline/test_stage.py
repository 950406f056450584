from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import RunRecord, external, stage, untracked


@dataclass
class Config:
    polished: bool = False


class Plain:
    """A class that is not a dataclass."""


def test_the_signature_is_the_declaration() -> None:
    @stage(resume=True, optional={"polish": lambda config: config.polished}, schemas={"other": Config})
    def fit(config: Config, out: Path, *, gather: Artifact, polish: Artifact | None) -> Facts:
        return {}

    assert fit.name == "fit"
    assert fit.config_type is Config
    assert fit.inputs == ("gather", "polish")
    assert fit.schemas == {"other": Config}
    assert (fit.cache, fit.resume, fit.resolve, fit.wants_record) == (True, True, None, False)


def test_an_optional_input_is_needed_when_its_predicate_says_so() -> None:
    @stage(optional={"polish": lambda config: config.polished})
    def fit(config: Config, out: Path, *, gather: Artifact, polish: Artifact | None) -> Facts:
        return {}

    assert fit.needs(Config(polished=False)) == ("gather",)
    assert fit.needs(Config(polished=True)) == ("gather", "polish")


def test_a_stage_that_is_never_cached_may_take_the_runs_record() -> None:
    @stage(cache=False)
    def tell(config: Config, out: Path, *, fit: Artifact, run: RunRecord) -> Facts:
        return {}

    assert (tell.cache, tell.wants_record, tell.inputs) == (False, True, ("fit",))


def test_a_stage_is_called_like_its_function(tmp_path: Path) -> None:
    @stage()
    def fit(config: Config, out: Path, *, gather: Artifact) -> Facts:
        return {"polished": config.polished, "out": out.name, "gather": gather.key}

    made = Artifact("gather", "ab", 1, tmp_path, "", 0.0, {}, {})
    assert fit(Config(True), Path("there"), gather=made) == {"polished": True, "out": "there", "gather": "ab"}


def no_out(config: Config) -> Facts: ...


def no_parameters() -> Facts: ...


def other_names(settings: Config, out: Path) -> Facts: ...


def swapped(out: Path, config: Config) -> Facts: ...


def config_is_not_a_dataclass(config: Plain, out: Path) -> Facts: ...


def config_is_not_annotated(config, out: Path) -> Facts: ...  # type: ignore[no-untyped-def]


def out_is_text(config: Config, out: str) -> Facts: ...


def out_is_not_annotated(config: Config, out) -> Facts: ...  # type: ignore[no-untyped-def]


def input_by_position(config: Config, out: Path, gather: Artifact) -> Facts: ...


def input_is_a_path(config: Config, out: Path, *, gather: Path) -> Facts: ...


def input_is_not_annotated(config: Config, out: Path, *, gather) -> Facts: ...  # type: ignore[no-untyped-def]


def any_inputs(config: Config, out: Path, **inputs: Artifact) -> Facts: ...


def more_by_position(config: Config, out: Path, *inputs: Artifact) -> Facts: ...


def optional_without_a_predicate(config: Config, out: Path, *, gather: Artifact | None) -> Facts: ...


def record_and_cache(config: Config, out: Path, *, run: RunRecord) -> Facts: ...


@pytest.mark.parametrize(
    "function",
    [
        no_out,
        no_parameters,
        other_names,
        swapped,
        config_is_not_a_dataclass,
        config_is_not_annotated,
        out_is_text,
        out_is_not_annotated,
        input_by_position,
        input_is_a_path,
        input_is_not_annotated,
        any_inputs,
        more_by_position,
        optional_without_a_predicate,
        record_and_cache,
    ],
)
def test_a_malformed_signature_is_refused_by_name(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"stage {function.__name__}\b"):
        stage()(function)


def test_a_predicate_on_a_required_input_is_refused() -> None:
    def fit(config: Config, out: Path, *, gather: Artifact) -> Facts: ...

    with pytest.raises(TypeError, match=r"stage fit: gather is `Artifact \| None` if and only if optional names it"):
        stage(optional={"gather": lambda _: True})(fit)


def test_a_predicate_on_an_unknown_input_is_refused() -> None:
    def fit(config: Config, out: Path, *, gather: Artifact) -> Facts: ...

    with pytest.raises(TypeError, match="polish"):
        stage(optional={"polish": lambda _: True})(fit)


def test_the_record_under_a_name_that_the_runner_does_not_fill_is_refused() -> None:
    def tell(config: Config, out: Path, *, record: RunRecord) -> Facts: ...

    with pytest.raises(TypeError, match="record"):
        stage(cache=False)(tell)


def test_marked_fields_carry_their_mark_and_their_default() -> None:
    @dataclass
    class Marked:
        images: str | None = external(None)
        folders: list[str] = external(["a"])  # noqa: RUF009
        threads: int = untracked(4)
        plain: int = 1

    marks = {item.name: dict(item.metadata) for item in fields(Marked)}
    assert marks == {
        "images": {"external": True, "more": None},
        "folders": {"external": True, "more": None},
        "threads": {"untracked": True},
        "plain": {},
    }
    assert Marked() == Marked(None, ["a"], 4, 1)
    Marked().folders.append("b")
    assert Marked().folders == ["a"]
