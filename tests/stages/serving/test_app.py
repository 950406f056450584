"""The HTTP server: answers, refused photos, and requests from other sites."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from slimline.pipeline.errors import UserError
from slimline.stages.models.opened import OpenedModel
from slimline.stages.serving.app import listening_socket, make_app
from slimline.stages.serving.serve_config import ServeConfig
from slimline.stages.serving.serve_settle import settle_model
from tests.stages.serving.conftest import LABELS, LIMITS, picture, score


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_photo_in_any_format_is_classified(client, kind):
    answer = client.post("/classify", content=picture(240, kind))
    assert answer.status_code == 200
    found = answer.json()
    assert found["label"] == "bright <b>"
    assert found["threshold"] == 0.6
    assert [one["name"] for one in found["guesses"]] == ["bright <b>", "dark"]
    assert found["guesses"][0]["score"] == pytest.approx(240 / 255, abs=0.02)


def test_below_the_threshold_the_label_is_null(client):
    found = client.post("/classify", content=picture(140)).json()
    assert found["label"] is None
    assert [one["name"] for one in found["guesses"]] == ["bright <b>", "dark"]
    assert 0.5 < found["guesses"][0]["score"] < found["threshold"] == 0.6


def png_bomb(side: int) -> bytes:
    """Return a small PNG whose header states a large size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "empty": (b"", 422),
    "text": (b"hello, I am not a photo", 400),
    "html": (b"<html><script>alert(1)</script></html>", 400),
    "a truncated JPEG": (picture(200)[:300], 400),
    "a truncated PNG": (picture(200, "PNG")[:50], 400),
    "a JPEG's start alone": (b"\xff\xd8\xff", 400),
    "a bomb": (png_bomb(30_000), 413),
    "too many pixels": (picture(9, "PNG", 1001), 413),
    "too many bytes": (bytes(500_001), 413),
    "zeros": (bytes(1000), 400),
    "an executable": (b"\x7fELF" + bytes(500), 400),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 400),
    "a path": (b"../../etc/passwd", 400),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("path", ["/classify", "/explain"])
def test_an_unusable_body_is_refused_and_the_server_keeps_serving(client, what, path):
    content, code = HOSTILE[what]
    answer = client.post(path, content=content)
    assert answer.status_code == code
    assert answer.json()["detail"]
    assert client.post("/classify", content=picture(240)).status_code == 200


def test_a_body_with_a_wrong_length_is_cut_off(client):
    def endless():
        for _ in range(100):
            yield bytes(10_000)

    assert client.post("/classify", content=endless()).status_code == 413
    answer = client.post("/classify", content=b"x", headers={"content-length": "many"})
    assert answer.status_code == 400


def test_an_occlusion_map_is_a_jpeg(client):
    answer = client.post("/explain", content=picture(240))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)


def test_the_page_escapes_texts_and_contacts_no_other_host(client):
    answer = client.get("/")
    assert "bright &lt;b&gt;" in answer.text
    assert "runs/toy &lt;i&gt;" in answer.text
    assert "http" not in answer.text.replace("http-equiv", "")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_another_hosts_name_is_refused(client):
    """DNS rebinding: another site's name resolves to 127.0.0.1."""
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/health", headers={"host": "localhost:8000"}).status_code == 200


def test_health_and_openapi(client):
    found = client.get("/health").json()
    assert found["status"] == "ok"
    assert found["labels"] == LABELS
    assert found["threshold"] == 0.6
    assert found["answered"] > 0
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/health", "/classify", "/explain"}
    assert set(paths["/classify"]["post"]["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    assert client.get("/docs").status_code == 404  # FastAPI's page would load scripts from another host
    assert client.get("/classify").status_code == 405
    assert client.get("/../../etc/passwd").status_code == 404


def test_too_many_photos_at_once_are_refused_with_retry_after():
    model = OpenedModel(LABELS, 0.0, True, score, 1)
    app, batcher = make_app(model, LIMITS, ServeConfig(most_waiting=1), "toy")
    batcher._most_waiting = 0
    with TestClient(app, base_url="http://localhost") as made:
        answer = made.post("/classify", content=picture(1))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def test_a_port_in_use_is_refused():
    first = listening_socket("127.0.0.1", 0)
    with first, pytest.raises(UserError, match=r"Cannot listen on serve\.host=127\.0\.0\.1 serve\.port=\d+: "):
        listening_socket("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize("wrong", [{"port": 70_000}, {"most_mb": 0}, {"wait_ms": -1}])
def test_a_value_out_of_range_is_refused(wrong):
    with pytest.raises(UserError, match=f"serve.{next(iter(wrong))}"):
        ServeConfig(**wrong)


def test_a_missing_model_is_refused():
    with pytest.raises(UserError, match=r"serve\.model=nowhere contains no exported model"):
        settle_model(ServeConfig(model="nowhere"), False)
