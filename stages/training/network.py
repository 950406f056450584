"""Network of a training phase: cut below the lowest trainable layer, with the phase's batch norm mode."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from slimline.pipeline.errors import UserError
from slimline.stages.models.assemble import base_network, head_network, upper_scopes
from slimline.stages.models.card import Card, input_shape
from slimline.stages.networks.graphs.batch_norms import Statistics, fuse_frozen, use_batch_statistics
from slimline.stages.networks.graphs.module import call_network
from slimline.stages.networks.graphs.pointwise import use_products
from slimline.stages.networks.graphs.symbolic import Symbolic, find_cut, lower_part, trace, upper_part
from slimline.stages.networks.weights.restore import in_scopes, some_names
from slimline.stages.training.config import ALL, HEAD, UPPER, UPWARDS, BatchNorm, PhaseConfig

MOST_NEAR = 3


class PhaseNetwork(NamedTuple):
    """Network of a phase: `upper`, the layers from the cut to the bottleneck, and the `head` on top of it.

    `lower` holds the layers from the images to the cut, or None if the cut is the image itself. `upper` is None if the
    cut is the bottleneck. `evaluated` is `upper` with the batch norms' moving averages, for validation. `statistics`
    lists the batch norms of `upper` that use each batch's statistics. `trainable` names the trainable variables, and
    `names` all variables that `upper` and the head read.
    """

    lower: Symbolic | None
    upper: Symbolic | None
    evaluated: Symbolic | None
    statistics: Sequence[Statistics]
    head: Callable[..., Any]
    trainable: list[str]
    names: list[str]

    def logits(
        self,
        inputs: Any,
        values: Mapping[str, Any],
        scale: Any,
        *,
        training: bool = False,
        dropout_seed: Any = None,
        wanted: Sequence[str] = (),
    ) -> tuple[Any, list[Any]]:
        """Build the network in the current graph: logits [batch, classes], and the tensors named in `wanted`.

        With `training` the batch norms in `statistics` use each batch's mean and variance, and these are returned
        instead of `wanted`. With `dropout_seed` [2] the head applies dropout.
        """
        network = self.upper if training else self.evaluated
        wanted = [name for one in self.statistics for name in one[2:]] if training else wanted
        features, *measured = network.run(inputs, values, wanted) if network else [inputs]

        def get(getter: Any, name: str, *_: Any, **__: Any) -> Any:
            return values[name]

        drops = dropout_seed is not None
        logits, _ = call_network(self.head, get, features * scale, is_training=drops, dropout_seed=dropout_seed)
        return logits, measured

    def changing(self) -> list[str]:
        """Return the names of the variables that the phase changes: the trainable ones, and updated moving averages."""
        return [*self.trainable, *(name for one in self.statistics for name in one[:2])]


def phase_network(
    card: Card,
    phase: PhaseConfig,
    head_names: Collection[str],
    *,
    fuse: bool,
    pointwise: bool = False,
    on_features: bool = False,
    cut: bool = True,
) -> PhaseNetwork:
    """Trace the base at the phase's input size, and cut it; without `cut` the whole base is in `upper`.

    `fuse` and `pointwise` are train's `fused.batch_norm` and `fused.pointwise`. With `on_features` the network is only
    the head.

    Raises:
        UserError: no variable is in a scope, or the base has no trainable variables.
    """
    head = head_network(card)
    if on_features:
        return PhaseNetwork(None, None, None, (), head, list(head_names), list(head_names))
    shape = input_shape(card) if phase.input_px is None else (phase.input_px, phase.input_px, 3)
    traced = trace(base_network(card), shape)
    trainable = trainable_names(traced, phase, upper_scopes(card))
    where = find_cut(traced, trainable) if cut else traced.given
    lower = lower_part(traced, where) if where != traced.given else None
    upper, plain = upper_part(traced, where), upper_part(trace(base_network(card), input_shape(card)), where)
    if pointwise:
        upper = use_products(upper)
    statistics: list[Statistics] = []
    if phase.batch_norm is not BatchNorm.frozen:
        upper, statistics = use_batch_statistics(upper, trainable)
    if fuse:
        upper, plain = fuse_frozen(upper), fuse_frozen(plain)
        lower = fuse_frozen(lower) if lower else None
    names = [*upper.feeds, *(name for name in plain.feeds if name not in upper.feeds), *head_names]
    return PhaseNetwork(lower, upper, plain, statistics, head, [*trainable, *head_names], names)


def trainable_names(network: Symbolic, phase: PhaseConfig, upper: str) -> list[str]:
    """Return the names of the base's variables that a phase trains.

    `upper` is the scope that `upper` in `trainable` means for this base.

    Raises:
        UserError: no variable is in a scope, or the base has no trainable variables.
    """
    names = [name for name, declared in network.variables.items() if declared.trainable]
    scopes = [upper if scope == UPPER else scope for scope in phase.trainable if scope != HEAD]
    if scopes and not names:
        raise UserError(
            f"trainable={phase.trainable}: the weights of a frozen graph are constants and cannot be trained.",
            "Train only the head (trainable=[head]), or choose a base with variables, such as mobilenet_v1.",
        )
    if ALL in scopes:
        return names
    chosen: set[str] = set()
    for scope in scopes:
        inside = [place for place, name in enumerate(names) if in_scopes(name, [scope.removesuffix(UPWARDS)])]
        if not inside:
            known = sorted({"/".join(name.split("/")[:2]) for name in names}, key=_natural)[::-1]
            near = get_close_matches(scope.removesuffix(UPWARDS), known, MOST_NEAR)
            raise UserError(
                f"train.phases names {scope!r}, but the network has no trainable variable in this scope.",
                f"Use head, upper, all, or scopes such as: {some_names(near or known)}.",
            )
        chosen.update(names[inside[0] :] if scope.endswith(UPWARDS) else (names[place] for place in inside))
    return [name for name in names if name in chosen]


def _natural(name: str) -> list[int | str]:
    """Return a sort key that orders numbers in names by value."""
    digits = "".join(letter if letter.isdigit() else " " for letter in name).split()
    return [name.rstrip("0123456789"), *map(int, digits)]
