"""Which augmentation a config means: the one whose row has the config's type."""

from __future__ import annotations

from slimline.stages.images import augmentation_table
from slimline.stages.images.augmentation_config import AugmentationConfig


def augmentation_name(config: AugmentationConfig) -> str:
    """Return the name of a config's augmentation.

    Raises:
        TypeError: no row has the config's type.
        UserError: a plug-in's row has the type of another.
    """
    table = augmentation_table.AUGMENTATIONS
    names = [name for name in table if table[name].config is type(config)]
    if not names:
        raise TypeError(f"{type(config).__name__} is no augmentation")
    if len(names) > 1:
        raise table.plugins[names[-1]].refused(f"has the config {type(config).__name__}, which is that of {names[0]!r}")
    return names[0]


def chosen_augmentation(config: AugmentationConfig) -> dict[str, list[str]]:
    """Return what a config chooses from the table of augmentations: a row and a function."""
    table, name = augmentation_table.AUGMENTATIONS, augmentation_name(config)
    return {augmentation_table.__name__: [table.references[name], table[name].function]}
