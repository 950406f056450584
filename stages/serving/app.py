"""The HTTP side of serving: a page, POST /classify, POST /explain, GET /health, GET /openapi.json."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from starlette.middleware.trustedhost import TrustedHostMiddleware

from slimline.pipeline.errors import UserError
from slimline.stages.data.checking.checks import Limits, usable_bytes
from slimline.stages.evaluation.occlusion import covered, overlay, score_drops
from slimline.stages.images.files import NotUsable
from slimline.stages.models.opened import OpenedModel
from slimline.stages.pages.serve import serve_page
from slimline.stages.serving.batcher import Batcher, Full
from slimline.stages.serving.serve_config import ServeConfig

LOCAL = ("127.0.0.1", "localhost", "::1")
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The OpenAPI description of a request whose body is the photo itself."""


class Guess(BaseModel):
    """A class and its probability."""

    name: str
    score: float


class Answer(BaseModel):
    """The classes of a photo: `label` is the most likely one, or null if its score is below the model's `threshold`."""

    label: str | None
    threshold: float
    guesses: list[Guess]


class Health(BaseModel):
    """The state of the server: its model, and how many photos it has answered."""

    status: str
    model: str
    labels: list[str]
    threshold: float
    answered: int


class Service:
    """The handlers of the routes, with their model, batcher and limits."""

    def __init__(self, model: OpenedModel, limits: Limits, config: ServeConfig, about: str) -> None:
        self._model, self._limits, self._top, self._about = model, limits, config.top, about
        self._explaining = asyncio.Lock()
        self.batcher = Batcher(
            model.score,
            batch_size=config.batch_size,
            wait_seconds=config.wait_ms / 1000,
            most_waiting=config.most_waiting,
            at_once=model.at_once,
        )

    async def health(self) -> Health:
        """Return the state of the server."""
        return Health(
            status="ok",
            model=self._about,
            labels=self._model.labels,
            threshold=self._model.threshold,
            answered=self.batcher.answered,
        )

    async def classify(self, request: Request) -> Answer:
        """Return the most likely classes of a photo."""
        row = await self._scores(await self._photo(request))
        best = (-row).argsort(kind="stable")[: self._top]
        guesses = [Guess(name=self._model.labels[number], score=float(row[number])) for number in best]
        threshold = self._model.threshold
        known = guesses[0].score >= threshold
        return Answer(label=guesses[0].name if known else None, threshold=threshold, guesses=guesses)

    async def explain(self, request: Request) -> Response:
        """Return the occlusion map of a photo as JPEG: bright where covering lowers the most likely class's score."""
        encoded = await self._photo(request)
        async with self._explaining:  # one at a time: each request scores fifty photos
            some = await asyncio.to_thread(covered, encoded)
            rows = await asyncio.gather(*map(self._scores, some))
        found = score_drops(np.stack(rows), int(rows[0].argmax()))
        return Response(await asyncio.to_thread(overlay, encoded, found), media_type="image/jpeg")

    async def _photo(self, request: Request) -> bytes:
        encoded = await _body(request, self._limits.file_bytes)
        try:
            return await asyncio.to_thread(usable_bytes, encoded, self._limits)
        except NotUsable as error:
            raise HTTPException(413 if "pixels" in str(error) else 400, str(error)) from error

    async def _scores(self, encoded: bytes) -> Any:
        try:
            return await self.batcher.scores(encoded)
        except Full as error:
            raise HTTPException(503, "too many photos are in progress", {"Retry-After": "1"}) from error


def make_app(model: OpenedModel, limits: Limits, config: ServeConfig, about: str) -> tuple[FastAPI, Batcher]:
    """Return the application and its batcher, which counts the answered photos.

    The body of a request is the photo itself. Unusable bodies are answered with 400 (not an image, or damaged), 413
    (too large) or 422 (empty), too many photos at once with 503.
    """
    service = Service(model, limits, config, about)
    page = serve_page(about, model.labels, limits.file_bytes)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.batcher:
            yield

    async def secure(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers.update(SECURITY)
        return response

    async def home() -> str:
        return page

    app = FastAPI(title="Slimline", version=version("slimline"), lifespan=lifespan, docs_url=None, redoc_url=None)
    if config.host in LOCAL:  # against DNS rebinding: another site's name may resolve to 127.0.0.1
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL, "[::1]"])
    app.middleware("http")(secure)
    app.get("/", response_class=HTMLResponse, include_in_schema=False)(home)
    app.get("/health")(service.health)
    app.post("/classify", openapi_extra=BODY)(service.classify)
    app.post("/explain", openapi_extra=BODY, response_class=Response)(service.explain)
    return app, service.batcher


async def _body(request: Request, most_bytes: int) -> bytes:
    """Read the body of a request, at most `most_bytes` of it.

    Raises:
        HTTPException: the body is empty or too large, or its stated length is not a number.
    """
    too_large = HTTPException(413, f"more than {most_bytes / 1e6:g} MB")
    stated = request.headers.get("content-length", "0")
    if not stated.isdigit():
        raise HTTPException(400, "the header content-length is not a number")
    if int(stated) > most_bytes:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise too_large
        parts.append(part)
    if not size:
        raise HTTPException(422, "the request has no body; send the photo itself as the body")
    return b"".join(parts)


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        UserError: the address is in use, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise UserError(
            f"Cannot listen on serve.host={host} serve.port={port}: {error.strerror}.",
            "Choose another port; serve.port=0 takes a free one.",
        ) from error
    made.listen(socket.SOMAXCONN)
    return made
