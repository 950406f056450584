"""ImageNet's class names.

`synsets.tsv` lists the 1000 classes of the ILSVRC-2012 challenge in their order: WordNet identifier,
then all of the synset's words. Source: WordNet 3.0, Princeton University, https://wordnet.princeton.edu
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

BACKGROUND = "background"


@cache
def synset_words() -> tuple[str, ...]:
    """Return each class's words in full, as in 'giant panda, panda, panda bear, coon bear, Ailuropoda melanoleuca'."""
    lines = Path(__file__).with_name("synsets.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(line.partition("\t")[2] for line in lines)


def class_names(count: int) -> list[str]:
    """Return the first word of each class, for a network of 1000 outputs, or of 1001 with the background first.

    Two pairs of classes share their first word (crane, maillot): these get all of their words.
    """
    first = [words.partition(",")[0] for words in synset_words()]
    names = [words if first.count(name) > 1 else name for words, name in zip(synset_words(), first, strict=True)]
    return [BACKGROUND, *names] if count == len(names) + 1 else names


def full_names(names: list[str]) -> list[str]:
    """Return the names of `class_names` with all of WordNet's words; return other lists of names unchanged."""
    if names == class_names(len(names)):
        return [*names[: len(names) - len(synset_words())], *synset_words()]
    return names
