"""Plug-ins: what other installed packages add."""

from __future__ import annotations

from pathlib import Path


def plugin_config_folders() -> list[Path]:
    """List the `conf/` folders of the installed plug-ins."""
    return []
