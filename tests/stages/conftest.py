"""Fixtures for the tests of several rooms: toy trainings and the loopback server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.stages.loopback import LoopbackServer

if TYPE_CHECKING:
    from slimline.pipeline.artifact import Artifact
    from tests.stages.toy_training import Toys


@pytest.fixture(scope="session")
def toy_photos(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from tests.stages.toy_training import ingested

    return ingested(tmp_path_factory.mktemp("toy_photos"))


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory, toy_photos: Artifact) -> Iterator[Toys]:
    """Toys whose network is in the table while the tests of one file run."""
    from slimline.stages.networks.table import NETWORKS
    from tests.stages.toy_training import Toys

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS.references, "toy", f"{Toys.__module__}:TOY")
        yield Toys(tmp_path_factory.mktemp("toys"), toy_photos)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    loopback = LoopbackServer()
    yield loopback
    loopback.close()
