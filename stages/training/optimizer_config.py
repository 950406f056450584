"""Configuration of the optimizers: the options of `train/optimizer`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError
from slimline.stages.networks.weights.restore import in_scopes
from slimline.stages.training.schedule_config import ScheduleConfig

BELOW_ONE = 0.999999
NEAR_SHOWN = 5


@dataclass
class OptimizerConfig(ScheduleConfig):
    """Settings that all optimizers share, in the order in which they apply to a gradient.

    The gradients of `accumulate_steps` batches are averaged. `weight_decay` times the weight is added, for the
    variables `.../weights` only: biases, batch norm variables and depthwise weights are not decayed, as in the TF-Slim
    model zoo. The global norm is clipped to `clip_norm`, then each element to +-`clip_value`. `learning_rate_factors`
    multiply the learning rate by scope; the longest matching scope applies. `ema_decay` is the decay of the weights'
    exponential moving average (0: no average); `ema_warmup` limits it to (1 + updates) / (10 + updates) at first.
    """

    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate_steps: int = 1
    learning_rate_factors: dict[str, float] = field(default_factory=dict)
    ema_decay: float = 0.0
    ema_warmup: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.optimizer.weight_decay", self.weight_decay, 0, 1e6)
        require_range("train.optimizer.accumulate_steps", self.accumulate_steps, 1, 65536)
        require_range("train.optimizer.ema_decay", self.ema_decay, 0, BELOW_ONE)
        for key, limit in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if limit is not None:
                require_range(f"train.optimizer.{key}", limit, 1e-12, 1e12)
        for scope, factor in self.learning_rate_factors.items():
            require_range(f"train.optimizer.learning_rate_factors[{scope}]", factor, 0, 1e6)


@dataclass
class MomentumConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum: v = momentum v + g; w -= rate v (Nesterov: rate (g + momentum v))."""

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.optimizer.momentum", self.momentum, 0, 1)


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam, https://arxiv.org/abs/1412.6980, in the form given at the end of its section 2.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2, and at the t-th update, counted from 1,
    w -= rate sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon).
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.optimizer.beta1", self.beta1, 0, BELOW_ONE)  # at 1 the bias correction divides by 0
        require_range("train.optimizer.beta2", self.beta2, 0, BELOW_ONE)
        require_range("train.optimizer.epsilon", self.epsilon, 0, 1e6)


@dataclass
class AdamwConfig(AdamConfig):
    """Adam with decoupled weight decay (AdamW): also w -= rate weight_decay w, https://arxiv.org/abs/1711.05101."""

    weight_decay: float = 0.01


@dataclass
class RmspropConfig(OptimizerConfig):
    """RMSProp with momentum, with TF-Slim's defaults (decay 0.9, momentum 0.9, epsilon 1.0).

    s = decay s + (1 - decay) g^2, initially 1; v = momentum v + rate g / sqrt(s + epsilon); w -= v.
    """

    learning_rate: float = 0.01
    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.optimizer.decay", self.decay, 0, 1)
        require_range("train.optimizer.momentum", self.momentum, 0, 1)
        require_range("train.optimizer.epsilon", self.epsilon, 0, 1e6)


OPTIMIZERS = {
    "optimizer/momentum": MomentumConfig,
    "optimizer/adam": AdamConfig,
    "optimizer/adamw": AdamwConfig,
    "optimizer/rmsprop": RmspropConfig,
}


def check_scopes(config: OptimizerConfig, names: Iterable[str]) -> None:
    """Check that each scope of `learning_rate_factors` contains at least one of the variables `names`.

    Raises:
        UserError: a scope contains none.
    """
    known = list(names)
    parts = [name.split("/") for name in known]
    scopes = list(dict.fromkeys("/".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1)))
    for scope in config.learning_rate_factors:
        if not any(in_scopes(name, [scope]) for name in known):
            near = get_close_matches(scope, scopes, NEAR_SHOWN) or scopes[:NEAR_SHOWN]
            raise UserError(
                f"train.optimizer.learning_rate_factors: no trained variable is in the scope {scope!r}.",
                f"Similar scopes: {', '.join(near)}.",
            )
