"""Checksums as text, with the name of their algorithm: "sha256:9f86d0..."."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path

ALGORITHMS = ("md5", "sha256", "sha384")
"""What publishers use: Keras MD5, PyPI SHA-256, OpenVINO's model zoo SHA-384. Only SHA-2 resists deliberate changes."""


def digest_like(path: Path, digest: str) -> str:
    """Return a file's checksum by the algorithm that `digest` names.

    Raises:
        ValueError: the algorithm isn't one of `ALGORITHMS`.
    """
    algorithm = digest.partition(":")[0]
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{digest!r} doesn't start with one of {', '.join(ALGORITHMS)}")
    with path.open("rb") as source:
        return f"{algorithm}:{hashlib.file_digest(source, algorithm).hexdigest()}"


def stated_digest(headers: Mapping[str, str]) -> str | None:
    """Return the checksum of the whole file from Google Cloud Storage's headers, also of a partial response, or None.

    Source: https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash
    """
    if headers.get("x-goog-stored-content-encoding", "identity") != "identity":
        return None  # the checksum is of the compressed bytes, and the uncompressed ones are requested
    for entry in headers.get("x-goog-hash", "").split(","):
        algorithm, _, value = entry.strip().partition("=")
        if algorithm == "md5":
            try:
                return f"md5:{base64.b64decode(value, validate=True).hex()}"
            except binascii.Error:
                return None
    return None
