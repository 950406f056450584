"""The configuration of `serve`."""

from __future__ import annotations

from dataclasses import dataclass

from slimline.pipeline.config import require_range


@dataclass
class ServeConfig:
    """The model, the address, and the limits for clients.

    While other photos are being scored, a photo waits up to `wait_ms` for each next one, until there are `batch_size`.
    While `most_waiting` photos are in progress, further ones are refused with status 503.
    """

    model: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    top: int = 5
    most_mb: int = 20
    max_pixels: int = 50_000_000
    max_frames: int = 100
    batch_size: int = 16
    wait_ms: int = 50
    most_waiting: int = 256

    def __post_init__(self) -> None:
        require_range("serve.port", self.port, 0, 65_535)
        require_range("serve.top", self.top, 1, 100_000)
        require_range("serve.most_mb", self.most_mb, 1, 2000, "MB")
        require_range("serve.max_pixels", self.max_pixels, 1, 1_000_000_000, "pixels")
        require_range("serve.max_frames", self.max_frames, 1, 1_000_000, "frames")
        require_range("serve.batch_size", self.batch_size, 1, 4096)
        require_range("serve.wait_ms", self.wait_ms, 0, 1000)
        require_range("serve.most_waiting", self.most_waiting, 1, 100_000)
