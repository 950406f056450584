from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import Artifact, Facts, digest_text
from slimline.pipeline.code import Code
from slimline.pipeline.content import ContentDigests
from slimline.pipeline.keys import key_parts, make_key, settled_choices, tracked
from slimline.pipeline.stage import external, stage, untracked


class Schedule(Enum):
    constant = "c"
    cosine = "k"


@dataclass
class Split:
    test: float = 10.0
    salt: str = ""


@dataclass
class Config:
    images: str | None = external(None)
    split: Split = field(default_factory=Split)
    schedule: Schedule = Schedule.cosine
    widths: list[int] = field(default_factory=lambda: [256, 64])
    weights: dict[str, float] = field(default_factory=lambda: {"rose": 2.0, "daisy": 1.0})
    limit: int | None = None
    shuffle: bool = True
    threads: int = untracked(0)


@stage()
def fit(config: Config, out: Path, *, gather: Artifact) -> Facts:
    return {}


def make_artifact(digest: str = "d1", **others: Any) -> Artifact:
    return Artifact(**{**vars(Artifact("gather", "k1", 1, Path("/a"), digest, 1.0, {}, {})), **others})


@pytest.fixture
def contents(tmp_path: Path) -> ContentDigests:
    return ContentDigests(tmp_path / "memory")


@pytest.fixture
def key(contents: ContentDigests) -> Callable[..., str]:
    def make(config: Config | None = None, gather: Artifact | None = None, **others: Any) -> str:
        parts = key_parts(
            others.get("stage", fit),
            config or Config(),
            {"gather": gather or make_artifact()},
            Code(others.get("code", {"toys.fit": "c1"}), others.get("versions", {"numpy": "2.1.0"})),
            contents,
        )
        return make_key(parts)

    return make


def test_the_content_of_a_key(key: Callable[..., str]) -> None:
    text = (
        '{"code":{"toys.fit":"c1"},"config":{"images":null,"limit":null,"schedule":"cosine","shuffle":true,'
        '"split":{"salt":"","test":10.0,"type":"Split"},"type":"Config","weights":{"daisy":1.0,"rose":2.0},'
        '"widths":[256,64]},"format":2,"inputs":{"gather":"d1"},"stage":"fit","versions":{"numpy":"2.1.0"}}'
    )
    assert key() == digest_text(text)[:32]
    assert key() == "43a3ea9b308e02e44862934c70664376"


def test_an_untracked_field_stays_out(key: Callable[..., str]) -> None:
    assert key(Config(threads=8)) == key(Config())


@pytest.mark.parametrize(
    "change",
    [
        {"split": Split(test=20.0)},
        {"split": Split(salt="x")},
        {"schedule": Schedule.constant},
        {"widths": [64, 256]},
        {"widths": []},
        {"weights": {"rose": 2.0}},
        {"weights": {}},
        {"limit": 0},
        {"shuffle": False},
    ],
    ids=str,
)
def test_every_other_field_is_in_the_key(key: Callable[..., str], change: dict[str, Any]) -> None:
    assert key(replace(Config(), **change)) != key(Config())


def test_the_order_of_a_dict_is_not_in_the_key(key: Callable[..., str]) -> None:
    assert key(Config(weights={"daisy": 1.0, "rose": 2.0})) == key(Config())


def test_a_configs_type_is_in_the_key(key: Callable[..., str]) -> None:
    @dataclass
    class Other(Config):
        pass

    assert key(Other()) != key(Config())


def test_a_nested_configs_type_is_in_the_key(key: Callable[..., str]) -> None:
    @dataclass
    class GroupedSplit(Split):
        pass

    assert key(Config(split=GroupedSplit())) != key(Config())


@pytest.mark.parametrize(
    "change",
    [
        {"code": {"toys.fit": "c2"}},
        {"code": {"toys.fit": "c1", "toys.more": "c1"}},
        {"versions": {"numpy": "2.2.0"}},
        {"versions": {}},
        {"stage": replace(fit, name="refit")},
        {"gather": make_artifact("d2")},
    ],
    ids=["code", "more code", "version", "no version", "stage", "input"],
)
def test_code_versions_stage_and_inputs_are_in_the_key(key: Callable[..., str], change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_an_input_counts_by_its_content_alone(key: Callable[..., str]) -> None:
    other = make_artifact(key="k2", generation=2, path=Path("/b"), seconds=9.0, facts={"count": 1})
    assert key(gather=other) == key()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "rose").mkdir(parents=True)
    (folder / "rose" / "1.jpg").write_text("a")
    return folder


def test_an_external_folder_counts_by_content_not_by_location(
    key: Callable[..., str], photos: Path, tmp_path: Path
) -> None:
    before = key(Config(images=str(photos)))
    (photos / ".DS_Store").write_text("x")
    assert key(Config(images=str(photos))) == before
    (tmp_path / "other").mkdir()
    moved = photos.rename(tmp_path / "other" / "flowers")
    assert key(Config(images=str(moved))) == before


def test_one_more_file_in_an_external_folder_is_another_key(key: Callable[..., str], photos: Path) -> None:
    before = key(Config(images=str(photos)))
    (photos / "rose" / "2.jpg").write_text("a")
    assert key(Config(images=str(photos))) != before


def test_no_external_folder_is_another_key_than_an_empty_one(key: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert key(Config(images=str(tmp_path / "empty"))) != key(Config(images=None))


@dataclass
class Listed:
    """A list of photos that names other files, which count too."""

    folder: str = untracked("")
    images: str | None = external(None, more=lambda config: [Path(config.folder) / name for name in "ab"])


def test_files_that_an_external_file_names_are_part_of_the_key(contents: ContentDigests, tmp_path: Path) -> None:
    for name in ("list", "a", "b"):
        (tmp_path / name).write_text(name)
    config = Listed(str(tmp_path), str(tmp_path / "list"))
    before = tracked(config, contents)
    digests = [digest_text(name) for name in ("list", "a", "b")]
    assert before == {"type": "Listed", "images": digest_text("\n".join(digests))}
    (tmp_path / "b").write_text("c")
    changed = tracked(config, contents)
    (tmp_path / "b").unlink()
    gone = tracked(config, contents)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = tracked(config, contents)
    assert len({str(one) for one in (before, changed, gone, moved)}) == 4


def test_a_file_that_names_no_others_counts_by_itself(contents: ContentDigests, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("list")
    assert tracked(Listed(images=None), contents) == {"type": "Listed", "images": None}
    assert tracked(Config(images=str(tmp_path / "list")), contents)["images"] == digest_text("list")


def test_a_list_of_external_paths_counts_one_by_one_in_order(contents: ContentDigests, tmp_path: Path) -> None:
    @dataclass
    class Many:
        images: list[str] = external([])  # noqa: RUF009

    for name in "ab":
        (tmp_path / name).write_text(name)
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    a_sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    b_sha256 = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
    assert tracked(Many(paths), contents) == {"type": "Many", "images": [a_sha256, b_sha256]}
    assert tracked(Many(paths[::-1]), contents) == {"type": "Many", "images": [b_sha256, a_sha256]}


def test_an_untracked_field_of_a_nested_config_stays_out(contents: ContentDigests) -> None:
    @dataclass
    class Inner:
        size: int = 1
        threads: int = untracked(1)

    @dataclass
    class Outer:
        inner: Inner = field(default_factory=Inner)
        phases: list[Inner] = field(default_factory=lambda: [Inner(2)])
        named: dict[str, Inner] = field(default_factory=lambda: {"a": Inner(3)})
        pair: tuple[int, Schedule] = (1, Schedule.constant)

    assert tracked(Outer(), contents) == {
        "type": "Outer",
        "inner": {"type": "Inner", "size": 1},
        "phases": [{"type": "Inner", "size": 2}],
        "named": {"a": {"type": "Inner", "size": 3}},
        "pair": [1, "constant"],
    }


def test_choices_are_the_configs_own_and_those_of_the_inputs() -> None:
    choosing = replace(fit, choices=lambda config: {"toys.table": [f"toys.{config.schedule.name}"]})
    inputs = {
        "gather": make_artifact(choices={"toys.sources": ["toys.folder"]}),
        "polish": make_artifact(choices={"toys.table": ["toys.abrasive"], "toys.sources": ["toys.folder"]}),
    }
    assert settled_choices(choosing, Config(), inputs) == {
        "toys.sources": ["toys.folder"],
        "toys.table": ["toys.abrasive", "toys.cosine"],
    }
    assert settled_choices(fit, Config(), {}) == {}


def test_an_input_counts_by_its_key_too_if_the_stage_declares_it(key: Callable[..., str]) -> None:
    by_key = replace(fit, by_key=("gather",))
    again = make_artifact(key="k2")
    assert key(stage=by_key, gather=again) != key(stage=by_key)
    assert key(gather=again) == key()
