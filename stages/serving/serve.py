"""The running server, until a signal stops it. FastAPI and uvicorn are optional: only the stage imports this module."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from threading import Thread

import uvicorn

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.signals import handling_signals
from slimline.stages.data.checking.checks import Limits
from slimline.stages.models.formats import find_model
from slimline.stages.models.opened import open_base
from slimline.stages.models.opened_export import open_model
from slimline.stages.serving.app import listening_socket, make_app
from slimline.stages.serving.serve_config import ServeConfig

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1


def serve_model(config: ServeConfig, base: Artifact | None) -> Facts:
    """Answer requests until Ctrl-C or SIGTERM; requests in progress are answered first.

    Raises:
        UserError: the server cannot listen on the address.
    """
    found = None if base else find_model(str(config.model), "serve.model")
    model = open_base(base.path, config.batch_size) if base else open_model(found or Path(), config.batch_size)
    limits = Limits(config.max_pixels, config.max_frames, config.most_mb * 1_000_000)
    about = str(config.model) if base is None else str(base.facts["network"])
    app, batcher = make_app(model, limits, config, about)
    socket = listening_socket(config.host, config.port)
    address = f"http://{config.host}:{socket.getsockname()[1]}/"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=5, lifespan="on"))
    with handling_signals() as signal:  # uvicorn's own handler would end the process before the run is recorded
        worker = Thread(target=server.run, args=([socket],))
        worker.start()
        while not server.started and worker.is_alive():
            time.sleep(POLL_SECONDS)
        log.info("serving   %s on %s, until Ctrl-C", about, address)
        while not signal() and worker.is_alive():
            time.sleep(POLL_SECONDS)
        server.should_exit = True
        worker.join()
    return {"address": address, "images": batcher.answered}
