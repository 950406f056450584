"""Checks of the members of downloaded archives."""

from __future__ import annotations

import tarfile
from pathlib import PurePosixPath


def fault_of_member(member: tarfile.TarInfo) -> str | None:
    """Return why a member must not be unpacked, as a phrase that follows the archive's name; None if it may be.

    Only plain files and folders may be unpacked: `filter="data"` would also accept some links and "/".
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        return f"contains {member.name!r}, which would be unpacked outside of its folder"
    if not (member.isreg() or member.isdir()):
        return f"contains {member.name!r}, which is neither a file nor a folder"
    return None
