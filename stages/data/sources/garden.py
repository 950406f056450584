"""The embedded garden as a source: flowers drawn by the program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from slimline.stages.data.sources.photo import Listing, Photo

AT_ONCE = 64


def list_garden(asked: Listing, per_class: int, seed: int) -> Iterator[Photo]:
    """Draw the garden's flowers into the spool (about 20 KB each)."""
    from concurrent.futures import ThreadPoolExecutor

    from slimline.stages.data.drawing.garden import SPECIES, draw_flower

    flowers = iter([(name, number) for name in SPECIES for number in range(per_class)])
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        while some := list(islice(flowers, AT_ONCE)):
            drawn = executor.map(draw_flower, *zip(*some, strict=True), [seed] * len(some))
            for (name, number), encoded in zip(some, drawn, strict=True):
                yield asked.placed(Photo(f"{name}/{number:04d}.jpg", name), encoded)
