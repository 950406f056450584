"""Classification of real photos, if this machine has them."""

from __future__ import annotations

from pathlib import Path

from slimline.stages.base import base
from slimline.stages.classify import classify
from slimline.stages.models.base_config import BaseConfig
from slimline.stages.models.base_settle import settle_weights
from slimline.stages.serving.classify_config import ClassifyConfig
from slimline.stages.serving.classify_settle import settle_images


def test_all_ten_imagenet_photos_are_classified_correctly(imagenet_photos, tmp_path):
    import pyarrow.parquet as pq

    from slimline.pipeline.artifact import Artifact

    facts = base(settle_weights(BaseConfig("efficientnet_lite0"), False), tmp_path)
    made = Artifact("base", "k", 1, tmp_path, "d", 0.0, facts, {})
    (tmp_path / "run").mkdir()
    classify(settle_images(ClassifyConfig(images=[str(imagenet_photos)]), False), tmp_path / "run", base=made)
    rows = pq.read_table(tmp_path / "run/predictions.parquet").to_pylist()
    best = {Path(row["path"]).stem: row["name"] for row in rows if row["rank"] == 1}
    assert best == {stem: stem.replace("_", " ") for stem in best}
    assert len(best) == 10
