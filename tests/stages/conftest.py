"""The toy trainings' photos, made once, and their artifacts, made once a file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipeline.artifact import Artifact
    from tests.stages.toy_training import Toys


@pytest.fixture(scope="session")
def toy_photos(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from tests.stages.toy_training import ingested

    return ingested(tmp_path_factory.mktemp("toy_photos"))


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory, toy_photos: Artifact) -> Iterator[Toys]:
    """Toys whose network is in the table for as long as a file of tests runs."""
    from stages.networks.table import NETWORKS
    from tests.stages.toy_training import TOY, Toys

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "toy", TOY)
        yield Toys(tmp_path_factory.mktemp("toys"), toy_photos)
