"""Configuration of the train stage: its phases, fused operations, and the cache of outputs at the cut."""

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
    """Mode of the batch norms in a phase that trains them; see `PhaseConfig`."""

    frozen = "frozen"
    update = "update"
    recalibrate = "recalibrate"


@dataclass
class PhaseConfig:
    """A training phase: which variables it trains, for how many epochs, and at which fraction of the learning rate.

    `trainable`: `head`, `upper` (the base's upper blocks, from the table of networks), `all`, or variable scopes such
    as `InceptionV3/Mixed_7c`. A trailing `+` adds all layers that the network builds after the scope. The head is
    always trained. The layers below the lowest trainable variable do not change, so their outputs are computed once and
    cached. `batch_norm`: `frozen` uses the pre-trained moving averages; `update` uses each batch's statistics and
    updates the moving averages; `recalibrate` does the same, and recomputes the moving averages over the training
    photos at the end of the phase. `augment` applies `train.augmentation`. `input_px` is the side length of the
    training images (None: the network's own). `weight_decay` and `batch_size` replace the optimizer's and train's. A
    phase starts from the weights that the previous phase kept, with a new optimizer, and runs the whole schedule.
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
        """Check every value. `key` is the phase's setting, for messages, such as `train.phases.0`.

        Raises:
            UserError: a value is out of range, `trainable` is empty, or it combines `all` with other names.
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
                f"{key}.trainable=[] is empty: the phase would train nothing.",
                "Use head, upper, all, or variable scopes, as in trainable=[InceptionV3/Mixed_7c].",
            )
        if ALL in self.trainable and len(self.trainable) > 1:
            named = ", ".join(self.trainable)
            raise UserError(
                f"{key}.trainable=[{named}] combines all with other names.", "Use all alone: trainable=[all]."
            )

    @property
    def head_alone(self) -> bool:
        """Whether the phase trains only the head."""
        return self.trainable == [HEAD]

    @property
    def name(self) -> str:
        """The phase's name on the terminal and in the history."""
        first = self.trainable[0].rpartition("/")[2]
        return first if len(self.trainable) == 1 else f"{first}+{len(self.trainable) - 1}"


class Keep(Enum):
    """Which epoch's weights a phase keeps: those of the lowest validation loss, or those of the last epoch."""

    best = "best"
    last = "last"


class TensorBoardLogs(Enum):
    """What a training writes for TensorBoard: everything, or only its scalars and its hyperparameters."""

    full = "full"
    scalars = "scalars"


class Switch(Enum):
    """Whether a fused operation is used; `auto` decides by measurements, see `settle_fused`."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass
class FusedConfig:
    """Which operations are fused.

    `batch_norm` folds frozen batch norms into their convolutions, so that convolution, bias and activation are one
    operation. `pointwise` computes the gradients of 1x1 convolutions as matrix products. `bfloat16` runs convolutions
    and matrix products in bfloat16, with sums and variables in float32. `xla` compiles the step with XLA. `epoch` runs
    a whole epoch in one call where the inputs are in memory.
    """

    batch_norm: Switch = Switch.auto
    pointwise: Switch = Switch.auto
    bfloat16: Switch = Switch.auto
    xla: Switch = Switch.auto
    epoch: Switch = Switch.auto


@dataclass
class CacheConfig:
    """Cache of the outputs of the layers below the lowest trainable scope, for each photo.

    `views` is the number of augmented views cached per photo (0: none; the lower layers run again in each epoch).
    Nothing is cached if it would take more than `budget_mb` megabytes. `bfloat16` says whether the lower layers compute
    in bfloat16, and `batch_size` is the number of images per batch when the cache is filled.
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
    """How to train the model.

    The phases in the shipped options refer to `epochs`. A phase stops early after `patience_epochs` epochs without a
    lower validation loss. `keep` chooses the epoch whose weights each phase keeps. `image_px` is the side length of the
    trained model's input images (None: the base's own). It may be larger than the size of the training images, because
    these show enlarged parts of photos (https://arxiv.org/abs/1906.06423). With `average_flips` the model averages its
    prediction for a photo and for its mirror image, which doubles the work. `mixup` is the alpha of
    https://arxiv.org/abs/1710.09412 (0: none). `balance` draws every class equally often. `class_weights` multiplies
    the loss of a class, given by its name; the default weight is 1. `batch_norm_decay` is the decay of the batch norms'
    moving averages, where a phase updates them. `tensorboard` leaves pictures, curves, histograms and the graph out of
    the TensorBoard logs.
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
    tensorboard: TensorBoardLogs = untracked(TensorBoardLogs.full)
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
            raise UserError(
                "train.phases=[] is empty: it would train nothing.", "Add at least one phase, or choose train=head."
            )
        for number, phase in enumerate(self.phases):
            phase.check(f"train.phases.{number}")

    def augments(self, phase: PhaseConfig) -> bool:
        """Return whether a phase trains on augmented images."""
        return phase.augment and type(self.augmentation) is not AugmentationConfig

    def on_features(self, number: int) -> bool:
        """Return whether a phase trains on cached features: those of the unchanged base, without augmentation.

        The last phase validates the trained model. If this model takes images of another size, the cached features do
        not apply to that phase.
        """
        phase, last = self.phases[number], number + 1 == len(self.phases)
        as_given = all(one.head_alone for one in self.phases[: number + 1]) and not (last and self.image_px)
        return as_given and not self.augments(phase)

    def reads_features(self) -> bool:
        """Return whether any phase trains on cached features."""
        return any(self.on_features(number) for number in range(len(self.phases)))

    def phase_names(self) -> list[str]:
        """Return the phases' names. A repeated name gets a number: the second `head` is `head-2`."""
        names = [phase.name for phase in self.phases]
        before = [names[:number].count(name) for number, name in enumerate(names)]
        return [f"{name}-{count + 1}" if count else name for name, count in zip(names, before, strict=True)]
