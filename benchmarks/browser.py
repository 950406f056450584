"""Benchmark of the exported ONNX model in a browser: changed predictions compared with the evaluation, and speed.

    npm install onnxruntime-web
    python benchmarks/browser.py runs/flowers/latest ../shared/data/flower_photos node_modules

The script serves docs/browser/ and a run's model.onnx on the loopback interface, opens the page in headless Chromium,
and classifies the evaluated photos there. The run must have been exported with `export=all`.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
SECONDS = 600
MOST_SHOWN = 5
PAGE = ROOT / "docs/browser/index.html"


class Quiet(SimpleHTTPRequestHandler):
    """HTTP handler that serves files without logging."""

    def log_message(self, *said: Any) -> None:
        pass


def main(run: Path, photos: Path, modules: Path) -> None:
    """Print the changed predictions, the largest difference of a score, and the photos per second."""
    from tests.browser import opened

    rows = pq.read_table(run / "artifacts/evaluate/predictions.parquet").to_pylist()
    export = run / "artifacts/export"
    with tempfile.TemporaryDirectory() as folder:
        for path in (PAGE, export / "model.onnx", export / "model.json", modules):
            (Path(folder) / path.name).symlink_to(path.resolve())
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with opened() as page:
            page.goto(f"http://127.0.0.1:{server.server_port}/{PAGE.name}")
            page.get_by_text("Ready", exact=True).wait_for(timeout=SECONDS * 1000)
            began = time.perf_counter()
            page.locator("#photos").set_input_files([photos / row["filename"] for row in rows])
            page.get_by_text("Done", exact=True).wait_for(timeout=SECONDS * 1000)
            seconds = time.perf_counter() - began
            found = [line.split("\t") for line in page.locator("#answers").inner_text().splitlines()]
            said = page.said
        server.shutdown()
    named = [
        (name.removeprefix("unknown (best guess: ").removesuffix(")"), float(score.partition(",")[0]))
        for _, name, score in found
    ]
    pairs = list(zip(rows, named, strict=True))
    changed = [
        f"{row['filename']}: {name}, was {row['predicted']}" for row, (name, _) in pairs if name != row["predicted"]
    ]
    right = sum(name == row["label"] for row, (name, _) in pairs)
    apart = max(abs(score - row["score"]) for row, (name, score) in pairs if name == row["predicted"])
    print(
        f"{len(rows)} photos: {len(changed)} changed predictions {changed[:MOST_SHOWN]}, top-1"
        f" {right / len(rows):.2%}, largest difference of a score {apart:.4f}, {len(rows) / seconds:.1f} photos per"
        f" second; console: {said}"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
