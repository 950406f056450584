"""Serve: a page to drop photos on, and a JSON API beside it, until a signal ends it."""

from __future__ import annotations

import importlib.util
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage

log = logging.getLogger(__name__)

NEEDED = ("fastapi", "uvicorn")
LOOKS_EACH_SECONDS = 0.1


@dataclass
class ServeConfig:
    """The model, where it listens, and what a client may send.

    While others are under way, a photo waits `wait_ms` for each next one, until there are `batch_size`; beyond
    `most_waiting` clients are told to come again.
    """

    model: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    top: int = 5
    most_mb: int = 20
    max_pixels: int = 50_000_000
    batch_size: int = 16
    wait_ms: int = 50
    most_waiting: int = 256

    def __post_init__(self) -> None:
        require_range("serve.port", self.port, 0, 65_535)
        require_range("serve.top", self.top, 1, 100_000)
        require_range("serve.most_mb", self.most_mb, 1, 2000, "MB")
        require_range("serve.max_pixels", self.max_pixels, 1, 1_000_000_000, "pixels")
        require_range("serve.batch_size", self.batch_size, 1, 4096)
        require_range("serve.wait_ms", self.wait_ms, 0, 1000)
        require_range("serve.most_waiting", self.most_waiting, 1, 100_000)


def settle_model(config: ServeConfig, plan: bool) -> ServeConfig:
    """Find the model and the framework before anything runs."""
    from slimline.stages.models.formats import find_model

    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve wants {' and '.join(missing)}, which aren't installed.", "pip install -e '.[serve]'")
    if config.model is not None:
        find_model(config.model, "serve.model")
    return config


@stage(cache=False, resolve=settle_model, optional={"base": lambda config: config.model is None})
def serve(config: ServeConfig, out: Path, *, base: Artifact | None) -> Facts:
    """Listen until Ctrl-C or SIGTERM; requests under way are answered first.

    Raises:
        UserError: the address can't be listened on.
    """
    import uvicorn

    from slimline.pipeline.signals import heeding_signals
    from slimline.stages.data.checking.checks import Limits
    from slimline.stages.data.checking.usable_photos import LIMITS
    from slimline.stages.models.formats import find_model
    from slimline.stages.models.opened import open_base, open_model
    from slimline.stages.serving.app import listening_socket, make_app

    found = None if base else find_model(str(config.model), "serve.model")
    model = open_base(base.path, config.batch_size) if base else open_model(found or Path(), config.batch_size)
    limits = Limits(config.max_pixels, LIMITS.frames, config.most_mb * 1_000_000)
    about = str(config.model) if base is None else str(base.facts["network"])
    app, batcher = make_app(model, limits, config, about)
    socket = listening_socket(config.host, config.port)
    address = f"http://{config.host}:{socket.getsockname()[1]}/"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=5, lifespan="on"))
    with heeding_signals() as signal:  # of its own, uvicorn would end the process before the run is recorded
        worker = Thread(target=server.run, args=([socket],))
        worker.start()
        while not server.started and worker.is_alive():
            time.sleep(LOOKS_EACH_SECONDS)
        log.info("serving   %s on %s, until Ctrl-C", about, address)
        while not signal() and worker.is_alive():
            time.sleep(LOOKS_EACH_SECONDS)
        server.should_exit = True
        worker.join()
    return {"address": address, "images": batcher.answered}
