"""The initial values of a network's variables, from any source of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from slimline.stages.models.saved_model import read_saved_weights
from slimline.stages.networks.graphs.module import Network, Outline, outline
from slimline.stages.networks.weights.checkpoint import read_checkpoint
from slimline.stages.networks.weights.keras_file import class_count, map_keras_weights, read_keras_file
from slimline.stages.networks.weights.published import Published
from slimline.stages.networks.weights.read_published import read_published
from slimline.stages.networks.weights.user_weights import Given
from slimline.stages.networks.weights.zoo import with_averages

IMAGENET_CLASSES = (1000, 1001)


class Source(NamedTuple):
    """The source of weights: a published file, a file of the user's, or neither (random initialization)."""

    published: tuple[Published, Path] | None = None
    given: Given | None = None


class SourceWeights(NamedTuple):
    """A network's outline, the arrays of a source, and their number of ImageNet classes (or None)."""

    outline: Outline
    values: dict[str, Any]
    classes: int | None


def read_source(
    source: Source, make_network: Callable[[int | None], Network], input_shape: tuple[int, ...], classes_bias: str
) -> SourceWeights:
    """Read a network's weights by the names of its variables.

    `make_network(classes)` returns the network with its ImageNet layer, or without it for None. The layer is
    used if the weights have it; in a checkpoint, the variable `classes_bias` [classes] shows that.

    Raises:
        UserError: the file is damaged, or is from another network.
    """
    if source.published:
        published, path = source.published
        made = outline(make_network(published.classes), input_shape)
        return SourceWeights(made, read_published(published, path, _shapes(made)), published.classes)
    if source.given and source.given.kind == "keras":
        layers = read_keras_file(source.given.path)
        classes = _imagenet(class_count(layers))
        made = outline(make_network(classes), input_shape)
        return SourceWeights(made, map_keras_weights(layers, _shapes(made)), classes)
    values = _read_by_name(source.given) if source.given else {}
    classes = _imagenet(values[classes_bias].shape[0] if classes_bias in values else None)
    return SourceWeights(outline(make_network(classes), input_shape), values, classes)


def _read_by_name(given: Given) -> dict[str, Any]:
    if given.kind == "saved_model":
        return read_saved_weights(given.path)
    first, *below = given.parts()
    return with_averages(read_checkpoint(first, below))


def _imagenet(classes: int | None) -> int | None:
    """Return the number of classes if they are ImageNet's, else None: the head stage makes other classes' layer."""
    return classes if classes in IMAGENET_CLASSES else None


def _shapes(made: Outline) -> dict[str, tuple[int, ...]]:
    return {name: declared.shape for name, declared in made.variables.items()}
