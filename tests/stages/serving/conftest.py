"""A server of a toy model, which returns how bright photos are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from slimline.stages.data.checking.checks import Limits
from slimline.stages.models.opened import OpenedModel
from slimline.stages.serving.app import make_app
from slimline.stages.serving.serve_config import ServeConfig

LABELS = ["dark", "bright <b>"]
LIMITS = Limits(pixels=1_000_000, frames=10, file_bytes=500_000)


def score(encoded: Any) -> Any:
    """Return how bright each photo is."""
    means = [np.asarray(Image.open(io.BytesIO(one)).convert("L")).mean() / 255 for one in encoded]
    return np.array([[1 - mean, mean] for mean in means])


def picture(value: int, kind: str = "JPEG", side: int = 64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value,) * 3).save(file, kind)
    return file.getvalue()


def served(threshold: float | None) -> TestClient:
    model = OpenedModel(LABELS, threshold, True, score, 2)
    app, _ = make_app(model, LIMITS, ServeConfig(top=2, batch_size=4), "runs/toy <i>")
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with served(0.6) as made:
        yield made
