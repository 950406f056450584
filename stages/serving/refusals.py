"""Refused requests: each answer is JSON that says what is wrong, and which command sends a photo."""

from __future__ import annotations

import shlex
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

BUSY = 503
FORM_TEXT = "application/x-www-form-urlencoded"
WRONG_HOST = "Invalid host header"
"""What Starlette writes for a request under the name of another host."""

DETAILS = {
    404: "there is no {path} here; photos are sent to /classify or /explain",
    405: "{method} {path} is not answered; photos are sent with POST",
}


def answer_in_json(app: FastAPI) -> None:
    """Make an application refuse requests with JSON: `detail` is the reason, `send` a command that sends a photo."""
    app.exception_handler(HTTPException)(_refuse)
    app.exception_handler(Exception)(_fail)


async def _refuse(request: Request, error: HTTPException) -> Response:
    path, method = request.url.path, request.method
    is_own = isinstance(error.detail, str) and error.status_code not in DETAILS
    detail = error.detail if is_own else DETAILS[error.status_code].format(path=path, method=method)
    if error.status_code == 400 and request.headers.get("content-type", "") == FORM_TEXT:
        detail += "; curl -d changes files, --data-binary does not"
    return JSONResponse(_body(request, detail, error.status_code), error.status_code, error.headers)


async def _fail(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "the server failed; its terminal shows the error"}, 500)


async def in_json(request: Request, response: Any) -> Response:
    """Return a refusal that a library wrote as plain text as JSON."""
    text = b"".join([part async for part in response.body_iterator]).decode()
    if text == WRONG_HOST:
        text = f"requests to {request.headers.get('host')} are refused; use 127.0.0.1 or localhost"
    return JSONResponse({"detail": text}, response.status_code)


def _body(request: Request, detail: str, status: int) -> dict[str, str]:
    path = "/explain" if request.url.path == "/explain" else "/classify"
    address = shlex.quote(f"{request.base_url}".rstrip("/") + path)
    send = f"curl --data-binary @photo.jpg {address}"
    return {"detail": detail} if status == BUSY else {"detail": detail, "send": send}
