"""Resolution of the exported formats, before anything runs."""

from __future__ import annotations

from slimline.stages.exporting.config import ExportConfig
from slimline.stages.models.formats import CONVERTERS, RUNTIMES, require_packages


def settle_formats(config: ExportConfig, plan: bool) -> ExportConfig:
    """Check that the packages which write and run each format are installed.

    Raises:
        UserError: some are not.
    """
    for one in config.formats:
        require_packages(
            f"export.formats={one.name}",
            (*CONVERTERS.get(one, ()), *RUNTIMES.get(one, ())),
            f"Or remove {one.name} from export.formats.",
        )
    return config
