"""A point's config must be the one that Hydra composes for the same overrides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from slimline.pipeline.composing import compose_config, resolve_task
from slimline.pipeline.config import register_schemas
from slimline.pipeline.sweeping.composer import PointComposer
from slimline.stages.table import STAGES

CONF = Path(__file__).parents[3] / "conf"
Compose = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoaderImpl]:
    setup_globals()
    register_schemas(STAGES.values())
    before = HydraConfig.instance().cfg
    yield ConfigLoaderImpl(create_config_search_path(f"file://{CONF}"))
    HydraConfig.instance().cfg = before


@pytest.fixture(scope="module")
def points(loader: ConfigLoaderImpl) -> Compose:
    """Return a function that composes points of one sweep, as the sweep does: with one composer for all."""
    composer = PointComposer(loader, loader.load_configuration("config", [], RunMode.MULTIRUN, from_shell=False))
    return lambda fixed, varied: composer.compose([*fixed, *varied], varied)


def directly(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> DictConfig:
    return resolve_task(loader.load_configuration("config", list(overrides), RunMode.RUN, from_shell=False))


def as_values(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=False, enum_to_str=True)


FLOWERS = ["+experiment=flowers", "ingest.origin=drawn"]
SWEEPS: dict[str, tuple[list[str], list[list[str]]]] = {
    "values": (
        FLOWERS,
        [["train.optimizer.learning_rate=0.1"], ["train.optimizer.learning_rate=0.01"], ["train.epochs=3"]],
    ),
    "groups": (FLOWERS, [["head=linear"], ["head=mlp"], ["head=linear"], ["base=mobilenet_v1", "head=mlp"]]),
    "a value and a group": (
        FLOWERS,
        [[f"head={head}", f"head.dropout={dropout}"] for head in ("linear", "mlp") for dropout in (0.1, 0.2)],
    ),
    "a value before its group": (FLOWERS, [["head.dropout=0.3", "head=mlp"], ["head.dropout=0.4", "head=linear"]]),
    "a group inside a stage": (
        FLOWERS,
        [["train/optimizer=adam", "train.optimizer.learning_rate=0.5"], ["train/optimizer=rmsprop"]],
    ),
    "experiments": (["run.name=both"], [["+experiment=flowers"], ["+experiment=flowers_best"]]),
    "deleted": ([*FLOWERS, "~report"], [["train.epochs=3"], ["head=mlp", "train.epochs=4"]]),
    "a stage that joins": ([*FLOWERS, "classify=photos"], [["classify.top=3"], ["classify.top=4"]]),
    "nested lists": (
        FLOWERS,
        [["train.phases=[{trainable:[upper,all],epochs:2},{trainable:[head]}]"], ["train.phases=[]"]],
    ),
    "an interpolation": (
        [*FLOWERS, "train.epochs=${run.seed}"],
        [["run.seed=3"], ["run.seed=4", "train.seed=${train.epochs}"]],
    ),
    "an interpolation of Hydra's": (
        [*FLOWERS, "run.name=${hydra:job.config_name}"],
        [["train.epochs=3"], ["train.epochs=4", "head=mlp"]],
    ),
    "a setting that is fixed and varied": ([*FLOWERS, "train.epochs=9"], [["train.epochs=3"], ["train.epochs=4"]]),
    "nothing": (FLOWERS, [[]]),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_point_has_the_config_that_hydra_composes(loader: ConfigLoaderImpl, points: Compose, name: str) -> None:
    fixed, varied = SWEEPS[name]
    for one in varied:
        try:
            expected = as_values(directly(loader, [*fixed, *one]))
        except (HydraException, OmegaConfBaseException) as error:
            pytest.fail(f"the test is wrong: {error}")
        assert as_values(points(fixed, one)) == expected, one


def test_a_point_does_not_change_the_next_one(points: Compose) -> None:
    first = as_values(points(FLOWERS, ["train.epochs=3"]))
    changed = points(FLOWERS, ["train.epochs=3"])
    OmegaConf.update(changed, "train.epochs", 99)
    points(FLOWERS, ["train.epochs=4", "head.dropout=0.9"])
    assert as_values(points(FLOWERS, ["train.epochs=3"])) == first


@pytest.mark.parametrize(
    "override", ["train.epoch=3", "head=nothing", "train.epochs=many", "+train.epochs=3", "trian.epochs=3"]
)
def test_what_hydra_rejects_is_rejected(loader: ConfigLoaderImpl, points: Compose, override: str) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException)) as expected:
        directly(loader, [*FLOWERS, override])
    with pytest.raises((HydraException, OmegaConfBaseException)) as found:
        points(FLOWERS, [override])
    assert type(found.value) is type(expected.value)
    assert str(found.value) == str(expected.value)


CHOICES = {
    "head": ["linear", "mlp"],
    "base": ["mobilenet_v1", "efficientnet_lite0"],
    "train/optimizer": ["adam", "rmsprop", "momentum"],
    "train.optimizer.learning_rate": ["0.1", "1e-3"],
    "train.seed": ["1", "${run.seed}"],
    "train.label_smoothing": ["0", "0.1"],
    "head.dropout": ["0.0", "0.5"],
    "head.seed": ["7"],
    "ingest.split.salt": ["a", "'b c'"],
    "run.seed": ["1", "2"],
}


@pytest.mark.slow
@settings(
    max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    experiment=st.sampled_from(["flowers", "flowers_best", "bases"]),
    varied=st.lists(
        st.sampled_from(sorted(CHOICES)).flatmap(lambda n: st.tuples(st.just(n), st.sampled_from(CHOICES[n]))),
        max_size=5,
        unique_by=lambda pair: pair[0],
    ),
)
def test_any_point_has_the_config_that_hydra_composes(
    loader: ConfigLoaderImpl, points: Compose, experiment: str, varied: list[tuple[str, str]]
) -> None:
    fixed = [f"+experiment={experiment}", "ingest.origin=drawn"]
    overrides = [f"{name}={value}" for name, value in varied]
    expected = as_values(directly(loader, [*fixed, *overrides]))
    assert as_values(points(fixed, overrides)) == expected


@pytest.mark.slow
def test_the_python_interface_composes_the_same(points: Compose) -> None:
    overrides = ["head=mlp", "train.optimizer.learning_rate=0.5"]
    found = compose_config([*FLOWERS, *overrides], [CONF], STAGES.values()).config
    assert as_values(points(FLOWERS, overrides)) == as_values(found)
