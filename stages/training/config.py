"""Train's config: phases, each of which trains some of the network; what is fused; what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import II

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import untracked
from slimline.stages.images.augmentation_config import AugmentationConfig
from slimline.stages.training.optimizer_config import OptimizerConfig

HEAD, UPPER, ALL, UPWARDS = "head", "upper", "all", "+"
MOST_EPOCHS = 100_000


class BatchNorm(Enum):
    """What batch norms do in a phase that trains them: see `PhaseConfig`."""

    frozen = "frozen"
    update = "update"
    recalibrate = "recalibrate"


@dataclass
class PhaseConfig:
    """A phase: what it trains, for how long, at which part of the learning rate.

    `trainable`: `head`, `upper` (the base's upper blocks, as the networks' table has them), `all`, or variable scopes
    such as `InceptionV3/Mixed_7c`, with a `+` behind it also all that
    the network builds after it (the head comes with these). What lies below the lowest of them doesn't change: its
    outputs are computed once and kept. `batch_norm`: `frozen` keeps the pre-trained statistics; `update` uses each
    batch's and moves the kept ones along; `recalibrate` does so too, and computes the kept ones anew over the training
    photos when the phase ends. `augment` applies `train.augmentation`. `input_px` is the side of the images trained on
    (None: the network's own), `weight_decay` and `batch_size` stand in for the optimizer's and train's. A phase begins
    where the best epoch of the one before it ended, with a new optimizer, and runs the whole of the schedule.
    """

    trainable: list[str] = field(default_factory=lambda: [HEAD])
    epochs: int = 30
    learning_rate_factor: float = 1.0
    batch_norm: BatchNorm = BatchNorm.frozen
    augment: bool = True
    input_px: int | None = None
    weight_decay: float | None = None
    batch_size: int | None = None

    def check(self, key: str) -> None:
        """Check every value; `key` is the phase's own.

        Raises:
            UserError: one is out of range, or `trainable` says nothing, or too much.
        """
        require_range(f"{key}.epochs", self.epochs, 1, MOST_EPOCHS)
        require_range(f"{key}.learning_rate_factor", self.learning_rate_factor, 1e-9, 1e6)
        for name, value, low, high in (
            ("input_px", self.input_px, 32, 4096),
            ("weight_decay", self.weight_decay, 0, 1e6),
            ("batch_size", self.batch_size, 1, 65536),
        ):
            if value is not None:
                require_range(f"{key}.{name}", value, low, high)
        if not self.trainable:
            raise UserError(
                f"{key}.trainable=[] trains nothing.",
                "Name head, upper, all, or variable scopes, as in trainable=[InceptionV3/Mixed_7c].",
            )
        if ALL in self.trainable and len(self.trainable) > 1:
            named = ", ".join(self.trainable)
            raise UserError(f"{key}.trainable=[{named}] names all, and more.", "all stands alone: trainable=[all].")

    @property
    def head_alone(self) -> bool:
        """Whether only the head is trained."""
        return self.trainable == [HEAD]

    @property
    def name(self) -> str:
        """What the phase is called on the terminal and in the history."""
        first = self.trainable[0].rpartition("/")[2]
        return first if len(self.trainable) == 1 else f"{first}+{len(self.trainable) - 1}"


class Keep(Enum):
    """Which epoch's weights a phase ends with: of the lowest validation loss, or the last."""

    best = "best"
    last = "last"


class Switch(Enum):
    """Whether a fused operation is used; `auto` follows what was measured."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass
class FusedConfig:
    """Which operations are fused.

    `batch_norm`: frozen batch norm goes into the convolution, which with its offset and activation is one operation.
    `pointwise`: the gradients of 1x1 convolutions are matrix products. `bfloat16`: convolutions and products in
    bfloat16, sums and variables in float32. `xla` compiles the step. `epoch`: where the inputs lie in memory, a whole
    epoch is one call.
    """

    batch_norm: Switch = Switch.auto
    pointwise: Switch = Switch.auto
    bfloat16: Switch = Switch.auto
    xla: Switch = Switch.auto
    epoch: Switch = Switch.auto


@dataclass
class CacheConfig:
    """The outputs of what lies below the lowest trainable scope, kept for each photo.

    `views`: augmented views of each photo that are kept (0: none, the lower part runs in each epoch anew). What would
    take more than `budget_mb` isn't kept. `bfloat16`: whether the lower part computes in it.
    """

    views: int = 8
    budget_mb: int = 8192
    bfloat16: Switch = Switch.auto
    batch_size: int = 32

    def __post_init__(self) -> None:
        require_range("train.cache.views", self.views, 0, 10_000)
        require_range("train.cache.budget_mb", self.budget_mb, 0, 10**9)
        require_range("train.cache.batch_size", self.batch_size, 1, 4096)


@dataclass
class TrainConfig:
    """How to train. `epochs` is what the options' phases refer to; `patience_epochs` without a better validation
    loss end a phase early.

    `keep` says which epoch's weights each phase ends with. `image_px` is the side of the images that the trained model
    takes (None: the base's own); it may be larger than what the phases train on, which see parts of photos, enlarged
    (https://arxiv.org/abs/1906.06423). With `average_flips` it names a photo by the mean of what it makes of it and of
    its mirror image, which is twice the work. `mixup` is the alpha of https://arxiv.org/abs/1710.09412 (0: none).
    `balance` draws every class equally often; `class_weights` multiplies a class's loss, by its name, 1 where it names
    none. `batch_norm_decay` is how much of the kept statistics a batch leaves, where batch norms follow the batches.
    """

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    phases: list[PhaseConfig] = field(default_factory=lambda: [PhaseConfig()])
    epochs: int = 30
    batch_size: int = 64
    label_smoothing: float = 0.0
    mixup: float = 0.0
    balance: bool = False
    class_weights: dict[str, float] = field(default_factory=dict)
    batch_norm_decay: float = 0.9
    patience_epochs: int = 10
    keep: Keep = Keep.best
    image_px: int | None = None
    average_flips: bool = False
    find_learning_rate: bool = False
    cache: CacheConfig = field(default_factory=CacheConfig)
    fused: FusedConfig = field(default_factory=FusedConfig)
    checkpoint_seconds: float = untracked(30.0)
    profile_steps: int = untracked(0)
    network: str = II("base.network")
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_range("train.epochs", self.epochs, 1, MOST_EPOCHS)
        require_range("train.batch_size", self.batch_size, 1, 65536)
        require_range("train.label_smoothing", self.label_smoothing, 0, 0.99)
        require_range("train.mixup", self.mixup, 0, 100)
        require_range("train.batch_norm_decay", self.batch_norm_decay, 0, 1)
        require_range("train.patience_epochs", self.patience_epochs, 1, MOST_EPOCHS)
        if self.image_px is not None:
            require_range("train.image_px", self.image_px, 32, 4096)
        require_range("train.checkpoint_seconds", self.checkpoint_seconds, 0, 1e9)
        require_range("train.profile_steps", self.profile_steps, 0, 10_000)
        for name, weight in self.class_weights.items():
            require_range(f"train.class_weights.{name}", weight, 0, 1e6)
        if not self.phases:
            raise UserError("train.phases=[] trains nothing.", "Give one phase at least, or choose train=head.")
        for number, phase in enumerate(self.phases):
            phase.check(f"train.phases.{number}")

    def augments(self, phase: PhaseConfig) -> bool:
        """Say whether a phase sees its images augmented."""
        return phase.augment and type(self.augmentation) is not AugmentationConfig

    def on_features(self, number: int) -> bool:
        """Say whether a phase trains on the features of the photos as they are: those of the base as it was given.

        The last phase's validation is that of the trained model, so where this takes images of another size it doesn't.
        """
        phase, last = self.phases[number], number + 1 == len(self.phases)
        as_given = all(one.head_alone for one in self.phases[: number + 1]) and not (last and self.image_px)
        return as_given and not self.augments(phase)

    def reads_features(self) -> bool:
        """Say whether a phase trains on features."""
        return any(self.on_features(number) for number in range(len(self.phases)))

    def phase_names(self) -> list[str]:
        """Return what each phase is called: where several would be called the same, the second is `head-2`."""
        names = [phase.name for phase in self.phases]
        before = [names[:number].count(name) for number, name in enumerate(names)]
        return [f"{name}-{count + 1}" if count else name for name, count in zip(names, before, strict=True)]
