from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from slimline.pipeline.config import RunConfig
from slimline.pipeline.errors import UserError
from slimline.pipeline.store import Store
from slimline.pipeline.sweeping.chain import Chain, Made
from slimline.pipeline.sweeping.points import Outcome, Prepared, SeedResult, check_seeds, prepare, read_outcome
from tests.pipeline import conftest
from tests.pipeline.conftest import Toys


def config(seeds: int = 1, names: tuple[str, ...] = ("gather.size", "fit.epochs"), **fit: Any) -> DictConfig:
    sweep = {"target": "fit", "seeds": seeds, "seed_settings": list(names)}
    return OmegaConf.create(
        {
            "run": OmegaConf.merge(OmegaConf.structured(RunConfig), {"targets": ["tell"], "sweep": sweep}),
            "gather": OmegaConf.structured(conftest.GatherConfig),
            "fit": OmegaConf.merge(OmegaConf.structured(conftest.FitConfig), fit),
            "tell": OmegaConf.structured(conftest.TellConfig),
        }
    )


def chain(folder: Path) -> Chain:
    return Chain(Store(folder / "store"), ())


def obtain(chain: Chain, point: Prepared) -> dict[str, Made]:
    """Make or find all artifacts of a point."""
    made: dict[str, Made] = {}
    for task in point.tasks:
        made[task.name] = chain.obtain(task, point.configs[task.name], made)
    return made


def test_an_outcome_is_read_as_it_was_written() -> None:
    one = Outcome(
        "completed", [SeedResult({"fit.score": 0.5, "fit.name": None}, "fit/k/1", 3, [0.1, 0.2])], 1.5, "", True
    )
    assert read_outcome(json.loads(json.dumps(one.record()))) == one


def test_seeds_are_counted_up_from_the_settings_own_values(tmp_path: Path) -> None:
    found = prepare(7, ["a=1"], config(3, epochs=5), conftest.STAGES, chain(tmp_path))
    assert [(one["gather"].size, one["fit"].epochs) for one in found.seeds] == [(3, 5), (4, 6), (5, 7)]
    assert (found.number, found.overrides, found.configs) == (7, ["a=1"], found.seeds[0])
    assert [task.name for task in found.tasks] == ["gather", "fit"]


def test_settings_that_an_experiment_does_not_have_are_no_seeds(tmp_path: Path) -> None:
    names = ("gather.size", "head.seed", "gather.images", "gather.remote")
    found = prepare(0, [], config(2, names), conftest.STAGES, chain(tmp_path))
    assert [(one["gather"].size, one["gather"].remote, one["gather"].images) for one in found.seeds] == [
        (3, False, None),
        (4, False, None),
    ]


@pytest.mark.parametrize("names", [(), ("gather.sizes",), ("gather.remote",), ("head.seed", "tell.title")])
def test_seeds_that_change_nothing_are_refused(names: tuple[str, ...]) -> None:
    check_seeds(config(1, names))
    with pytest.raises(UserError, match=r"run\.sweep\.seeds=2 has no effect"):
        check_seeds(config(2, names))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tell", "run.sweep.target=tell is a stage whose output is not kept"),
        ("fitt", "run.sweep.target names 'fitt', which is not a stage"),
    ],
)
def test_a_target_must_be_kept(tmp_path: Path, target: str, said: str) -> None:
    one = config()
    one.run.sweep.target = target
    with pytest.raises(UserError) as caught:
        prepare(0, [], one, conftest.STAGES, chain(tmp_path))
    assert str(caught.value).startswith(said)


def test_artifacts_are_made_once_and_found_by_the_next_point(toys: Toys, tmp_path: Path) -> None:
    made = chain(tmp_path)
    first = prepare(0, [], config(), toys.stages, made)
    second = prepare(1, [], config(epochs=9), toys.stages, made)
    assert made.planned(first.tasks, first.configs) is None  # gather has not been made: the key is unknown
    found = obtain(made, first)
    again = obtain(made, second)
    assert toys.calls == ["gather", "fit", "fit"]
    assert (found["gather"].fresh, again["gather"].fresh, again["fit"].fresh) == (True, False, True)
    assert again["gather"].artifact == found["gather"].artifact
    planned = made.planned(second.tasks, second.configs)
    assert planned is not None
    assert planned.key == again["fit"].artifact.key != found["fit"].artifact.key


def test_forced_artifacts_are_made_again_once(toys: Toys, tmp_path: Path) -> None:
    first = prepare(0, [], config(), toys.stages, chain(tmp_path))
    obtain(chain(tmp_path), first)
    toys.calls.clear()
    forced = Chain(Store(tmp_path / "store"), ["gather"])
    for _ in range(2):
        found = obtain(forced, first)
    assert toys.calls == ["gather"]
    assert found["gather"].artifact.generation == 2
