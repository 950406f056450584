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
from slimline.stages.data.checking.usable_photos import with_settings_of
from slimline.stages.evaluation.occlusion import covered, overlay, score_drops
from slimline.stages.images.faults import ADVICE, Fault
from slimline.stages.images.files import NotUsable
from slimline.stages.models.opened import OpenedModel
from slimline.stages.pages.serve import serve_page
from slimline.stages.serving.batcher import Batcher, Full
from slimline.stages.serving.refusals import answer_in_json, in_json
from slimline.stages.serving.serve_config import ServeConfig
from slimline.stages.serving.uploads import BODY, Upload, read_uploads

LOCAL = ("127.0.0.1", "localhost", "::1")
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guess(BaseModel):
    """A class and its probability."""

    name: str
    score: float


class Answer(BaseModel):
    """The classes of a photo: `label` is the most likely one, or null if its score is below the model's `threshold`.

    The first of the `guesses` is the most likely class in either case. `threshold` is null if the model has none.
    `filename` is that of a form's file.
    """

    filename: str | None = None
    label: str | None
    threshold: float | None
    guesses: list[Guess]


class Refusal(BaseModel):
    """Why a file of a form is not classified, while others are."""

    filename: str
    detail: str


class Answers(BaseModel):
    """The answers to a form with several files, in their order."""

    answers: list[Answer | Refusal]


class Health(BaseModel):
    """The state of the server: its model, and how many photos it has answered."""

    status: str
    model: str
    labels: list[str]
    threshold: float | None
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

    async def classify(self, request: Request) -> Answer | Answers:
        """Return the most likely classes of a photo, or of each file of a form with several."""
        uploads = await read_uploads(request, self._limits.file_bytes)
        if len(uploads) == 1:
            return await self._answer(uploads[0])
        answers = await asyncio.gather(*map(self._answer_or_refusal, uploads))
        refused = [one for one in answers if isinstance(one, tuple)]
        if len(refused) == len(answers):
            status, first = refused[0]
            told = f"{first.filename}: {first.detail}"
            raise HTTPException(status, f"none of {len(answers)} files can be classified, the first is {told}")
        return Answers(answers=[one[1] if isinstance(one, tuple) else one for one in answers])

    async def explain(self, request: Request) -> Response:
        """Return the occlusion map of a photo as JPEG: bright where covering lowers the most likely class's score."""
        uploads = await read_uploads(request, self._limits.file_bytes)
        if len(uploads) > 1:
            raise HTTPException(400, f"the form has {len(uploads)} files; an occlusion map is made of one photo")
        encoded = await self._usable(uploads[0])
        async with self._explaining:  # one at a time: each request scores fifty photos
            some = await asyncio.to_thread(covered, encoded)
            rows = await asyncio.gather(*map(self._scores, some))
        found = score_drops(np.stack(rows), int(rows[0].argmax()))
        return Response(await asyncio.to_thread(overlay, encoded, found), media_type="image/jpeg")

    async def _answer(self, upload: Upload) -> Answer:
        row = await self._scores(await self._usable(upload))
        best = (-row).argsort(kind="stable")[: self._top]
        guesses = [Guess(name=self._model.labels[number], score=float(row[number])) for number in best]
        threshold = self._model.threshold
        is_known = threshold is None or guesses[0].score >= threshold
        named = {} if upload.filename is None else {"filename": upload.filename}
        return Answer(label=guesses[0].name if is_known else None, threshold=threshold, guesses=guesses, **named)

    async def _answer_or_refusal(self, upload: Upload) -> Answer | tuple[int, Refusal]:
        """Return the answer to a file, or the status and the reason with which it would be refused alone."""
        try:
            return await self._answer(upload)
        except HTTPException as error:
            return error.status_code, Refusal(filename=upload.filename or "", detail=str(error.detail))

    async def _usable(self, upload: Upload) -> bytes:
        if upload.refused:
            raise upload.refused
        try:
            return await asyncio.to_thread(usable_bytes, upload.encoded, self._limits)
        except NotUsable as error:
            status = 413 if error.fault is Fault.too_large else 400
            detail = with_settings_of("serve", str(error))
            if error.fault in ADVICE:
                kind, to_install = error.fault.value, ADVICE[error.fault]
                detail = f"this server cannot read {kind}: send a JPEG, or install what is missing there: {to_install}"
            raise HTTPException(status, detail) from error

    async def _scores(self, encoded: bytes) -> Any:
        try:
            return await self.batcher.scores(encoded)
        except Full as error:
            raise HTTPException(503, "too many photos are in progress", {"Retry-After": "1"}) from error


def make_app(model: OpenedModel, limits: Limits, config: ServeConfig, about: str) -> tuple[FastAPI, Batcher]:
    """Return the application and its batcher, which counts the answered photos.

    A request's body is the photo itself, or a form with files. Unusable ones are answered with 400 (not an image, or
    damaged), 413 (too large) or 422 (empty), too many photos at once with 503. Each refusal is JSON.
    """
    service = Service(model, limits, config, about)
    page = serve_page(about, model.labels, limits.file_bytes)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.batcher:
            yield

    async def secure(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        if response.status_code >= 400 and response.headers.get("content-type", "").startswith("text/plain"):
            response = await in_json(request, response)
        response.headers.update(SECURITY)
        return response

    async def home() -> str:
        return page

    app = FastAPI(title="Slimline", version=version("slimline"), lifespan=lifespan, docs_url=None, redoc_url=None)
    if config.host in LOCAL:  # against DNS rebinding: another site's name may resolve to 127.0.0.1
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL, "[::1]"])
    app.middleware("http")(secure)
    answer_in_json(app)
    app.get("/", response_class=HTMLResponse, include_in_schema=False)(home)
    app.get("/health")(service.health)
    app.post("/classify", openapi_extra=BODY, response_model_exclude_unset=True)(service.classify)
    app.post("/", include_in_schema=False, response_model_exclude_unset=True)(service.classify)
    app.post("/explain", openapi_extra=BODY, response_class=Response)(service.explain)
    return app, service.batcher


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
