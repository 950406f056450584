"""What to expect of the candidates for wrong labels, from the facts of the `review` stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from slimline.stages.scoring.intervals import wilson_interval

ASSUMED_SHARE = 0.01
"""The share of wrong labels for which the share of wrong candidates is told."""
LOW_TOP1, FEW = 0.9, 0.25
"""A warning is given if the features predict fewer labels than LOW_TOP1, and fewer candidates than FEW are wrong."""


class Expectation(NamedTuple):
    """The numbers to tell about `candidates` of `photos` labels.

    A test made `planted` labels wrong; `found` of these were among its `tested` candidates. `recall` is the 95%
    interval of that share as a text, None if nothing was planted. `one_in` is set if many candidates are the model's
    own mistakes: if 1% of all labels are wrong, about one in so many candidates is. `top1` is the share of labels that
    the features predict, None if no label could be checked. `unreviewed` photos are the only ones of their class.
    """

    photos: int
    candidates: int
    unreviewed: int
    planted: int
    found: int
    tested: int
    recall: str | None
    one_in: int | None
    top1: float | None

    @property
    def headline(self) -> str:
        """The sentence for the terminal."""
        if self.top1 is None:
            return "labels    not checked: this takes two classes with two photos each"
        candidates = f"labels    {self.candidates:,} of {self.photos:,} to check"
        if self.recall is None:
            return f"{candidates}; too few photos to test how many errors are found"
        test = f"a test found {self.found:,} of {self.planted:,} planted"
        if self.one_in:
            few = f"labels    {self.candidates:,} to check, 1 in {self.one_in:,} wrong if 1% of all are"
            return f"{few}; {test} among {self.tested:,}"
        return f"{candidates}; {test} errors ({self.recall}) among {self.tested:,}"


def expectation(facts: Mapping[str, Any]) -> Expectation:
    """Return what the facts of the `review` stage say about its candidates."""
    photos, candidates, unreviewed = facts["images"], facts["candidates"], facts["unreviewed"]
    planted, found, top1 = facts["planted"], facts["planted_found"], facts["cross_validated_top1"]
    recall, one_in = None, None
    if planted:
        low, high = wilson_interval(found, planted)
        recall = f"{low:.0%} to {high:.0%}"
        wrong = found / planted * ASSUMED_SHARE * (photos - unreviewed)
        if top1 < LOW_TOP1 and wrong < FEW * candidates:
            one_in = round(candidates / max(wrong, 1))
    return Expectation(
        photos=photos,
        candidates=candidates,
        unreviewed=unreviewed,
        planted=planted,
        found=found,
        tested=facts["planted_candidates"],
        recall=recall,
        one_in=one_in,
        top1=top1,
    )
