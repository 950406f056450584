"""Photos in a request: its body, or the files of a form (`multipart/form-data`), under any field's name."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

FORM = "multipart/form-data"
MOST_FILES = 64
"""The most files in one form, and the most other fields."""

FORM_SIZES = 10
"""A form may have this many times the size of one photo."""

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            FORM: {
                "schema": {
                    "type": "object",
                    "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
                }
            },
        },
    }
}
"""The OpenAPI description of a request whose body is the photo itself, or a form with files."""


class Upload(NamedTuple):
    """A photo that was sent: its bytes, or with which status it is refused; `filename` is None for a body."""

    encoded: bytes
    filename: str | None = None
    refused: HTTPException | None = None


async def read_uploads(request: Request, most_bytes: int) -> list[Upload]:
    """Read the photos of a request: one if its body is the photo itself, else each file of its form, in order.

    `most_bytes` limits each photo; what a single file of a form is refused for is its `refused`.

    Raises:
        HTTPException: 400 for a form without files or a damaged one, 413 for a body that is too large, 422 for an
            empty one, 415 for another kind of multipart body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/") and kind != FORM:
        raise HTTPException(415, f"the body is {kind}, which is not read")
    if kind == FORM:
        return await _files(request, most_bytes)
    body = b"".join([part async for part in _parts(request, most_bytes)])
    if not body:
        raise HTTPException(422, "the request has no body; send the photo itself as the body")
    return [Upload(body)]


async def _parts(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the body of a request, at most `most_bytes` of it."""
    too_large = HTTPException(413, f"more than {most_bytes / 1e6:g} MB")
    stated = request.headers.get("content-length", "0")
    if not stated.isdigit():
        raise HTTPException(400, "the header content-length is not a number")
    if int(stated) > most_bytes:
        raise too_large
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise too_large
        yield part


async def _files(request: Request, most_bytes: int) -> list[Upload]:
    try:
        async with aclosing(_parts(request, FORM_SIZES * most_bytes)) as parts:
            form = await MultiPartParser(request.headers, parts, max_files=MOST_FILES, max_fields=MOST_FILES).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form is damaged: {error.message}") from error
    try:
        fields = form.multi_items()
        uploads = [await _upload(file, most_bytes) for _, file in fields if isinstance(file, UploadFile)]
    finally:
        await form.close()
    if not uploads:
        raise HTTPException(400, _without_files([(name, value) for name, value in fields if isinstance(value, str)]))
    return uploads


async def _upload(file: UploadFile, most_bytes: int) -> Upload:
    name = file.filename or ""
    if (file.size or 0) > most_bytes:
        return Upload(b"", name, HTTPException(413, f"more than {most_bytes / 1e6:g} MB"))
    encoded = await file.read()
    return Upload(encoded, name, None if encoded else HTTPException(422, "the file is empty"))


def _without_files(fields: list[tuple[str, str]]) -> str:
    if not fields:
        return "the form has no file"
    name, value = fields[0]
    return f"the form has no file: its field {name!r} is the text {value[:60]!r}; write an @ before a file's name"
