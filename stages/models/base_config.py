"""What a user may choose as a base."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from omegaconf import II, MISSING

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError, nearest
from slimline.pipeline.stage import external, untracked
from slimline.stages.images.preprocessing_config import Crop, Orientation, Preprocessing, Resize
from slimline.stages.models import head_table
from slimline.stages.networks import table
from slimline.stages.networks.weights.user_weights import IMAGENET

FROZEN_GRAPH = "frozen_graph"
SMALLEST_PX, LARGEST_PX = 32, 1024


@dataclass
class BaseConfig:
    """Which network, and which weights: `imagenet`, `random` or a path.

    `size` is the input's side in pixels (null: the network's own). `exclude_scopes` are drawn at random
    though the weights have them; `ignore_missing` draws what the weights lack. `min_restored` is the
    part of the parameters that must come from the weights. `download_host` is asked in place of
    the hosts of published weights. What the weights are is settled before the key is made.
    """

    network: str = MISSING
    weights: str = untracked(IMAGENET)
    size: int | None = None
    orientation: Orientation = Orientation.exif
    exclude_scopes: list[str] = field(default_factory=list)
    ignore_missing: bool = False
    min_restored: float = 0.5
    download_host: str | None = untracked(None, former=("mirror",))
    seed: int = II("run.seed")
    weights_kind: str | None = None
    weights_sha256: str | None = None
    weights_path: str | None = untracked(None)

    def __post_init__(self) -> None:
        if self.network not in self.networks():
            raise UserError(
                f"base.network={self.network!r} is no network that Slimline has.",
                f"It has: {', '.join(sorted(table.NETWORKS))}; and base=frozen_graph takes any frozen graph."
                f"{nearest(self.network, table.NETWORKS)}",
            )
        if self.size is not None:
            require_range("base.size", self.size, SMALLEST_PX, LARGEST_PX, "pixels")
        require_range("base.min_restored", self.min_restored, 0, 1)

    def networks(self) -> list[str]:
        """Name the networks that this config may choose."""
        return list(table.NETWORKS)

    def preprocessing(self) -> Preprocessing:
        """Return how the network wants its images, at the size that is asked for."""
        native = table.NETWORKS[self.network].preprocessing
        return replace(native, input_px=self.size or native.input_px, orientation=self.orientation.value)

    def width(self) -> float:
        """Return the width of the network's layers, 1 where there is but one."""
        return 1.0


@dataclass
class MobilenetConfig(BaseConfig):
    """MobileNet's layers come in several widths, each with weights of its own."""

    multiplier: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = table.NETWORKS[self.network].multipliers
        if self.multiplier not in allowed:
            raise UserError(
                f"base.multiplier={self.multiplier:g} is no width of {self.network}.",
                f"It has: {', '.join(f'{one:g}' for one in allowed)}.",
            )

    def width(self) -> float:
        """Return the width of the network's layers."""
        return self.multiplier


@dataclass
class FrozenGraphConfig(BaseConfig):
    """A frozen GraphDef: the tensors where it is cut, and what its input wants, (x - offset) / scale.

    `output` is the tensor of its class probabilities or logits (null: it has none), whose names `labels` holds,
    a name a line; ImageNet's 1000 or 1001 need none.
    """

    size: int | None = MISSING
    graph: str = external(MISSING)
    input: str = MISSING
    bottleneck: str = MISSING
    output: str | None = None
    labels: str | None = external(None)
    offset: float = 127.5
    scale: float = 127.5
    crop: Crop = Crop.each_side
    crop_fraction: float = 0.875
    resize: Resize = Resize.legacy_bilinear

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights != IMAGENET:
            raise UserError(
                f"base.weights={self.weights} doesn't go with a frozen graph, which has its weights inside.",
                "Leave base.weights out.",
            )
        if self.size is None:
            raise UserError("base.size has no value, and a frozen graph needs it.", "Give the input's side in pixels.")
        try:
            self.preprocessing()
        except ValueError as error:
            raise UserError(f"base.{error}", "The graph's input is (x - base.offset) / base.scale.") from error

    def networks(self) -> list[str]:
        """Name the one choice that this config stands for."""
        return [FROZEN_GRAPH]

    def preprocessing(self) -> Preprocessing:
        """Return how the graph wants its images.

        Raises:
            ValueError: a value isn't allowed, or doesn't go with another.
        """
        return Preprocessing(
            input_px=self.size or 0,
            crop=self.crop.value,
            crop_fraction=self.crop_fraction,
            resize=self.resize.value,
            offset=self.offset,
            scale=self.scale,
            orientation=self.orientation.value,
        )


def chosen_network(config: BaseConfig) -> dict[str, list[str]]:
    """Return what the config chooses from tables: a network's row and architecture, of a frozen graph none; no head."""
    if isinstance(config, FrozenGraphConfig):
        return {table.__name__: [], head_table.__name__: []}
    name = config.network
    network = [table.NETWORKS.references[name], table.NETWORKS[name].function]
    return {table.__name__: network, head_table.__name__: []}
