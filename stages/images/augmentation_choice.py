"""The augmentation that a config chooses: the one whose row has the config's type."""

from __future__ import annotations

from slimline.stages.images import augmentation_table
from slimline.stages.images.augmentation_config import AugmentationConfig


def augmentation_name(config: AugmentationConfig) -> str:
    """Return the name of a config's augmentation.

    Raises:
        TypeError: no row has the config's type.
        UserError: a plug-in's row has the same type as another row.
    """
    table = augmentation_table.AUGMENTATIONS
    names = [name for name in table if table[name].config is type(config)]
    if not names:
        raise TypeError(f"{type(config).__name__} is not an augmentation's config")
    if len(names) > 1:
        fault = f"has the config {type(config).__name__}, which {names[0]!r} has already"
        raise table.plugins[names[-1]].refused(fault)
    return names[0]


def chosen_augmentation(config: AugmentationConfig) -> dict[str, list[str]]:
    """Return what a config chooses from the table of augmentations: a row and a function."""
    table, name = augmentation_table.AUGMENTATIONS, augmentation_name(config)
    return {augmentation_table.__name__: [table.references[name], table[name].function]}
