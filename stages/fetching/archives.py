"""What an archive from elsewhere may hold."""

from __future__ import annotations

import tarfile
from pathlib import PurePosixPath


def fault_of_member(member: tarfile.TarInfo) -> str | None:
    """Say why a member must not be unpacked, in words that follow the archive's name; None for what lies inside.

    Only plain files and folders may: `filter="data"` lets some links and "/" pass.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        return f"holds {member.name!r}, which lies outside of it"
    if not (member.isreg() or member.isdir()):
        return f"holds {member.name!r}, which is neither a file nor a folder"
    return None
