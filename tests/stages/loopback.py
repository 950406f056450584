"""A file server on 127.0.0.1 that can misbehave, for the tests that download."""

from __future__ import annotations

from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


class LoopbackServer:
    """Serves `content` at every path that isn't in `contents`; the attributes control how, and may be changed."""

    def __init__(self) -> None:
        self.content = b""
        self.contents: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.more_headers: dict[str, str] = {}
        self.etag = '"one"'
        self.last_modified = ""
        self.status = 200
        self.knows_range = True
        self.knows_if_range = True
        self.gives_length = True
        self.misplaced_bytes = 0
        self.stop_at_byte: int | None = None
        self.stalls = False
        self.answers = True
        self.dies_after_requests: int | None = None
        self.lost_requests = 0
        self.redirects: dict[str, str] = {}
        self.pause_seconds = 0.0
        self.requests: list[tuple[str, Message]] = []
        self.sent_bytes = 0
        self.asked = Event()
        self.released = Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def url(self, path: str = "/file.bin") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def headers(self, name: str) -> list[str | None]:
        """Return each request's value of the header `name`."""
        return [headers[name] for _, headers in self.requests]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def _handler_for(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_CONNECT(self) -> None:
            server.requests.append((self.path, self.headers))
            self.send_error(403)

        def do_GET(self) -> None:
            server.requests.append((self.path, self.headers))
            server.asked.set()
            if len(server.requests) <= server.lost_requests:
                return
            if not server.answers or len(server.requests) - 1 == server.dies_after_requests:
                server.released.wait(20)
                return
            server.released.wait(server.pause_seconds)
            if self.path in server.redirects:
                self.send_response(302)
                self.send_header("Location", server.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_file()

        def send_file(self) -> None:
            start, status = self.first_byte(), server.statuses.get(self.path, server.status)
            content = server.contents.get(self.path, server.content)
            start += server.misplaced_bytes if start else 0
            if start >= len(content) > 0:
                status, body = 416, b""
            else:
                status, body = (206 if start else status), content[start:]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.gives_length:
                self.send_header("Content-Length", str(len(body)))
            headers = {"ETag": server.etag, "Last-Modified": server.last_modified, **server.more_headers}
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if server.stop_at_byte is not None:
                body = body[: max(0, server.stop_at_byte - start)]
            self.wfile.write(body)
            server.sent_bytes += len(body)
            if server.stalls:
                server.released.wait(20)

        def first_byte(self) -> int:
            wanted, version = self.headers["Range"], self.headers["If-Range"]
            if wanted is None or not server.knows_range:
                return 0
            if server.knows_if_range and version not in (None, server.etag, server.last_modified):
                return 0
            return int(wanted.removeprefix("bytes=").removesuffix("-"))

    return Handler
