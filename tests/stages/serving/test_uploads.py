"""Photos in forms, as `curl -F file=@photo.jpg` sends them, and what refused requests are told."""

from __future__ import annotations

import importlib.util
import io
import shlex

import numpy as np
import pytest
from PIL import Image

from slimline.pipeline.errors import UserError
from slimline.stages.serving.serve_config import ServeConfig
from slimline.stages.serving.serve_settle import settle_model
from slimline.stages.serving.uploads import MOST_FILES
from tests.stages.serving.conftest import LIMITS, picture, served

SEND = "curl --data-binary @photo.jpg http://127.0.0.1:8000/classify"


@pytest.mark.parametrize("path", ["/", "/classify"])
@pytest.mark.parametrize("field", ["file", "image", "ü ber"])
def test_a_file_of_a_form_is_answered_as_the_same_bytes_in_a_body(client, path, field):
    answer = client.post(path, files={field: ("a photo, mine.jpg", picture(240), "image/jpeg")})
    assert answer.status_code == 200
    found = answer.json()
    assert found.pop("filename") == "a photo, mine.jpg"
    assert found == client.post("/classify", content=picture(240)).json()
    assert found["label"] == "bright <b>"


def test_a_body_has_no_file_name(client):
    assert set(client.post("/", content=picture(240)).json()) == {"label", "threshold", "guesses"}


def test_several_files_are_answered_in_their_order_with_the_reason_of_those_that_can_not_be_used(client):
    sent = [("a", ("1.jpg", picture(240))), ("a", ("2.txt", b"hello, I am text")), ("b", ("3.png", picture(9, "PNG")))]
    answer = client.post("/classify", files=sent)
    assert answer.status_code == 200
    first, second, third = answer.json()["answers"]
    assert (first["filename"], first["label"]) == ("1.jpg", "bright <b>")
    assert set(second) == {"filename", "detail"}
    assert second["filename"] == "2.txt"
    assert "text" in second["detail"]
    assert (third["filename"], third["label"]) == ("3.png", "dark")


def test_without_one_usable_file_the_form_is_refused(client):
    answer = client.post("/", files=[("a", ("1.txt", b"hello, I am text")), ("b", ("2.jpg", b""))])
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("none of 2 files can be classified, the first is 1.txt: it is text")


def test_an_occlusion_map_of_a_forms_file(client):
    answer = client.post("/explain", files={"file": picture(240)})
    assert answer.headers["content-type"] == "image/jpeg"
    two = client.post("/explain", files=[("a", picture(1)), ("b", picture(2))])
    assert two.status_code == 400
    assert two.json()["detail"] == "the form has 2 files; an occlusion map is made of one photo"


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        (
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nphoto.jpg\r\n--x--\r\n',
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            400,
            "the form has no file: its field 'file' is the text 'photo.jpg'; write an @ before a file's name",
        ),
        ({"content": b"--x--\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, "the form"),
        ({"content": b"abc", "headers": {"content-type": "multipart/form-data"}}, 400, "the form is damaged: "),
        ({"content": b"abc", "headers": {"content-type": "multipart/mixed; boundary=x"}}, 415, "multipart/mixed"),
        ({"files": {"file": b""}}, 422, "the file is empty"),
        ({"files": {"file": bytes(LIMITS.file_bytes + 1)}}, 413, "more than 0.5 MB"),
        ({"files": [("file", bytes(LIMITS.file_bytes)) for _ in range(11)]}, 413, "more than 5 MB"),
        ({"files": [("file", b"x") for _ in range(MOST_FILES + 1)]}, 400, "the form is damaged: Too many files"),
        ({"content": picture(9)[:300]}, 400, ""),
        ({"json": {"image": "abc"}}, 400, "JSON"),
        ({"content": b""}, 422, "the request has no body"),
    ],
)
def test_what_is_not_a_photo_is_answered_with_the_reason_and_what_to_send(client, sent, status, detail):
    answer = client.post("/classify", **sent)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert answer.json()["send"] == SEND


def test_a_file_that_curl_changed_is_told(client):
    changed = picture(9).replace(b"\n", b"").replace(b"\r", b"")[:200]
    answer = client.post("/", content=changed, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.json()["detail"].endswith("; curl -d changes files, --data-binary does not")


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/classify", 405, "GET /classify is not answered; photos are sent with POST"),
        ("PUT", "/", 405, "PUT / is not answered; photos are sent with POST"),
        ("POST", "/predict", 404, "there is no /predict here; photos are sent to /classify or /explain"),
    ],
)
def test_another_route_or_method_is_answered_in_json(client, method, path, status, detail):
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail, "send": SEND})


def test_another_hosts_name_is_answered_in_json(client):
    answer = client.get("/health", headers={"host": "evil.example"})
    assert answer.json() == {"detail": "requests to evil.example are refused; use 127.0.0.1 or localhost"}
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_command_that_is_told_is_one_word_per_argument(client):
    send = client.post("/explain", content=b"x", headers={"host": "localhost:8000"}).json()["send"]
    assert shlex.split(send) == ["curl", "--data-binary", "@photo.jpg", "http://localhost:8000/explain"]


def test_a_failure_of_the_server_is_answered_in_json(monkeypatch):
    with served(None) as made:
        monkeypatch.setattr("slimline.stages.serving.app.usable_bytes", lambda *given: 1 / 0)
        answer = made.post("/", content=picture(1))
    assert answer.status_code == 500
    assert answer.json() == {"detail": "the server failed; its terminal shows the error"}


def test_a_model_without_a_threshold_knows_every_photo():
    with served(None) as made:
        found = made.post("/", content=picture(128)).json()
        assert made.get("/health").json()["threshold"] is None
    assert found["label"] is not None
    assert found["threshold"] is None


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install fastapi uvicorn python-multipart$"):
        settle_model(ServeConfig(), False)


def test_a_limit_is_named_as_a_setting_of_serve(client):
    answer = client.post("/", content=picture(9, "PNG", 1001))
    assert answer.status_code == 413
    assert "more than serve.max_pixels=1,000,000 allows" in answer.json()["detail"]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_a_phones_photo_is_answered(client):
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 64), (240, 240, 240))).save(file)
    answer = client.post("/", files={"file": ("IMG_1.HEIC", file.getvalue(), "image/heic")})
    assert answer.json()["label"] == "bright <b>"


def test_a_phones_photo_is_refused_with_what_to_install_on_the_server(client, monkeypatch):
    monkeypatch.setattr("slimline.stages.images.files.can_read_heif", lambda: False)
    answer = client.post("/", content=HEIC)
    assert answer.status_code == 400
    told = "this server cannot read HEIC: send a JPEG, or install what is missing there: pip install pillow-heif"
    assert answer.json()["detail"] == told


def test_a_photo_that_is_damaged_inside_is_refused_and_the_decoder_prints_nothing(client, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    whole = file.getvalue()
    answer = client.post("/", content=whole[: len(whole) // 2] + b"\xff\xd9")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("damaged inside: libjpeg reports '")
    assert client.post("/", content=whole).status_code == 200
    assert capfd.readouterr().err == ""
