"""Configuration of the fusions stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import II

from slimline.pipeline.config import require_range
from slimline.stages.training.config import ALL, FusedConfig, PhaseConfig, Switch


@dataclass
class FusionsConfig:
    """The training step on random images that is analyzed.

    `trainable` and `input_px` are as in a phase of train. `fused` is as in train, and chooses the step whose operations
    are counted. `steps` is the number of repetitions of each timing. `xla` says whether XLA is timed. `auto` times it
    only with a GPU: on two cores, compiling a step took a minute, and the compiled step took 25 to 40 times as long
    (EfficientNet-Lite0).
    """

    trainable: list[str] = field(default_factory=lambda: [ALL])
    batch_size: int = 32
    input_px: int | None = None
    classes: int = 5
    steps: int = 5
    xla: Switch = Switch.auto
    fused: FusedConfig = field(default_factory=FusedConfig)
    network: str = II("base.network")
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        PhaseConfig(trainable=self.trainable, batch_size=self.batch_size, input_px=self.input_px).check("fusions")
        require_range("fusions.classes", self.classes, 2, 100_000)
        require_range("fusions.steps", self.steps, 1, 10_000)
