"""The drawn flowers as a source."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from slimline.stages.data.config import ColumnsConfig
from slimline.stages.data.drawing.garden import SPECIES, draw_flower
from slimline.stages.data.sources.garden import list_garden
from slimline.stages.data.sources.photo import Listing, Spool
from tests.stages.data.sources.making import content


def test_each_species_is_drawn_in_order(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "spool.bin")) as spool:
        found = list(list_garden(Listing(tmp_path, ColumnsConfig(), spool), 2, 7))
    assert [(photo.path, photo.label) for photo in found] == [
        (f"{name}/{number:04d}.jpg", name) for name in SPECIES for number in range(2)
    ]
    assert content(found[3]) == draw_flower(found[3].label, 1, 7)
    assert len({content(photo) for photo in found}) == len(found)


def test_without_a_spool_the_flowers_are_listed(tmp_path: Path) -> None:
    assert len(list(list_garden(Listing(tmp_path, ColumnsConfig()), 1, 7))) == len(SPECIES)
