"""Base configs: the choice of a network and of its weights."""

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
    """A network and its weights: `imagenet`, `random` or a path.

    `size` is the input's height and width in pixels (null: the network's own). Variables in `exclude_scopes`
    are initialized at random, although the weights have them. With `ignore_missing`, variables that the weights
    lack are initialized at random too. `min_restored` is the share of the parameters that must come from the
    weights. `download_host` replaces the hosts of published weights. The weights are located before the key is
    made.
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
                f"base.network={self.network!r} is not a network that Slimline has.",
                f"Choose one of: {', '.join(sorted(table.NETWORKS))}; or base=frozen_graph for any frozen graph."
                f"{nearest(self.network, table.NETWORKS)}",
            )
        if self.size is not None:
            require_range("base.size", self.size, SMALLEST_PX, LARGEST_PX, "pixels")
        require_range("base.min_restored", self.min_restored, 0, 1)

    def networks(self) -> list[str]:
        """Return the names of the networks that this config can choose."""
        return list(table.NETWORKS)

    def preprocessing(self) -> Preprocessing:
        """Return the network's preprocessing, at the chosen size."""
        native = table.NETWORKS[self.network].preprocessing
        return replace(native, input_px=self.size or native.input_px, orientation=self.orientation.value)

    def width(self) -> float:
        """Return the width of the network's layers, 1 if there is only one width."""
        return 1.0


@dataclass
class MobilenetConfig(BaseConfig):
    """MobileNet's layers are available in several widths, each with its own weights."""

    multiplier: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = table.NETWORKS[self.network].multipliers
        if self.multiplier not in allowed:
            raise UserError(
                f"base.multiplier={self.multiplier:g} is not a width of {self.network}.",
                f"Choose one of: {', '.join(f'{one:g}' for one in allowed)}.",
            )

    def width(self) -> float:
        """Return the width of the network's layers."""
        return self.multiplier


@dataclass
class FrozenGraphConfig(BaseConfig):
    """A frozen GraphDef: the tensors where it is cut, and its preprocessing, (x - offset) / scale.

    `output` is the tensor of its class probabilities or logits (null: it has none). `labels` is a file with their
    names, one per line; it isn't needed for ImageNet's 1000 or 1001 classes.
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
                f"base.weights={self.weights} can't be used with a frozen graph, which contains its weights.",
                "Remove base.weights.",
            )
        if self.size is None:
            problem = "base.size has no value, but a frozen graph needs it."
            raise UserError(problem, "Set base.size to the input's height and width in pixels.")
        try:
            self.preprocessing()
        except ValueError as error:
            advice = "Change the setting; the graph's input is (x - base.offset) / base.scale."
            raise UserError(f"base.{error}", advice) from error

    def networks(self) -> list[str]:
        """Return the only choice of this config."""
        return [FROZEN_GRAPH]

    def preprocessing(self) -> Preprocessing:
        """Return the graph's preprocessing.

        Raises:
            ValueError: a value isn't valid, alone or together with another.
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
    """Return the config's choices from tables: a network's row and architecture (none for a frozen graph); no head."""
    if isinstance(config, FrozenGraphConfig):
        return {table.__name__: [], head_table.__name__: []}
    name = config.network
    network = [table.NETWORKS.references[name], table.NETWORKS[name].function]
    return {table.__name__: network, head_table.__name__: []}
