"""Serving from the command line: photos dropped in a real browser, many clients, and shutdown by a signal."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import kept_store
from tests.browser import accessibility_faults, needs_browser, opened
from tests.commands.test_flowers import SMALL, around, manifest, pipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def garden(tmp_path_factory, store) -> Path:
    folder = kept_store.use(store, tmp_path_factory.mktemp("garden"))
    done = pipeline(folder, "+experiment=flowers", *SMALL, "run.targets=[export]")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture(scope="module")
def server(garden) -> Iterator[tuple[subprocess.Popen[str], str]]:
    asked = ["+experiment=serve", "serve.model=runs/flowers/latest", "serve.port=0"]
    command = [sys.executable, "-u", "-m", "pipeline", *asked]
    process = subprocess.Popen(
        command, cwd=garden, env=around(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"on (http://127\.0\.0\.1:\d+/), until Ctrl-C", line):
            break
    else:
        pytest.fail(said)
    yield process, found.group(1)
    if process.poll() is None:
        process.kill()
    process.communicate()


def flower(name: str, number: int = 3) -> bytes:
    from slimline.stages.data.drawing.garden import draw_flower

    return draw_flower(name, number, 0)


def post(address: str, body: bytes) -> dict:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{address}classify", body, {"Content-Type": "image/jpeg"})
    with opener.open(request, timeout=60) as reply:
        return json.load(reply)


def test_many_clients_get_the_answers_of_the_exported_model(garden, server):
    from slimline.stages.models.formats import find_model
    from slimline.stages.models.saved_model import SavedModel

    names = ["tulips", "daisy", "roses", "sunflowers"]
    photos = [flower(names[number % 4], number) for number in range(64)]
    with ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda photo: post(server[1], photo), photos))
    classify = SavedModel(find_model(str(garden / "runs/flowers/latest"), "serve.model"))
    wanted = [classify.labels[number] for number in classify(photos).argmax(axis=1)]
    assert [answer["guesses"][0]["name"] for answer in answers] == wanted


def test_hostile_photos_are_refused_and_the_server_keeps_serving(server):
    for body in (b"", b"not a photo", flower("daisy")[:200], b"\xff\xd8\xff" * 1000):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server[1], body)
        assert 400 <= caught.value.code < 500
        caught.value.close()
    assert post(server[1], flower("daisy"))["guesses"]


@needs_browser
def test_a_photo_dropped_on_the_page_is_classified(server, tmp_path):
    named = post(server[1], flower("tulips", 5))
    with opened() as page:
        page.goto(server[1])
        page.evaluate(
            """async encoded => {
                const bytes = Uint8Array.from(atob(encoded), one => one.charCodeAt(0)), data = new DataTransfer();
                data.items.add(new File([bytes], "<b>tulip.jpg", {type: "image/jpeg"}));
                data.items.add(new File(["not a photo"], "bad.jpg", {type: "image/jpeg"}));
                const event = new DragEvent("drop", {dataTransfer: data, cancelable: true});
                document.getElementById("drop").dispatchEvent(event);
            }""",
            base64.b64encode(flower("tulips", 5)).decode(),
        )
        page.locator(".answer .bar").first.wait_for()
        page.wait_for_selector("text=not classified")
        answer = page.locator(".answer").last
        assert answer.locator("h2").inner_text() == (named["label"] or "unknown")
        assert answer.locator("p").first.inner_text() == "<b>tulip.jpg"
        assert answer.locator("p").count() == (2 if named["label"] is None else 1)
        assert answer.locator(".bar").count() == 5
        answer.locator("button").click()
        answer.locator("button").wait_for(state="detached", timeout=60_000)
        assert "occlusion map of <b>tulip.jpg: bright where" in answer.locator("img").get_attribute("alt")
        assert accessibility_faults(page) == []
        page.screenshot(path=str(tmp_path / "served.png"), full_page=True)
        assert [one for one in page.said if "400 (Bad Request)" not in one] == []  # the answer to the bad photo
        assert all(url.startswith((server[1], "blob:", "data:")) for url in page.asked)


@needs_browser
def test_the_page_shows_an_unknown_photos_best_guess_next_to_the_threshold(server):
    guesses = [{"name": "<i>tulips", "score": 0.432}, {"name": "daisy", "score": 0.3}]
    unknown = {"label": None, "threshold": 0.61, "guesses": guesses}
    with opened() as page:
        page.route("**/classify", lambda route: route.fulfill(json=unknown))
        page.goto(server[1])
        photo = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": flower("tulips")}
        page.locator("#pick").set_input_files(photo)
        page.locator(".answer .bar").first.wait_for()
        answer = page.locator(".answer")
        assert answer.locator("h2").inner_text() == "unknown"
        assert answer.locator("p").last.inner_text() == "best guess: <i>tulips, 43.2%, below the threshold of 61.0%"
        assert page.said == []


def test_curl_sends_a_form(server, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    (tmp_path / "a photo.jpg").write_bytes(flower("tulips", 5))
    command = ["curl", "-sS", "--noproxy", "*", "-F", "file=@a photo.jpg", server[1]]
    answer = json.loads(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert answer.pop("filename") == "a photo.jpg"
    assert answer == post(server[1], flower("tulips", 5))


def test_a_signal_stops_the_server_and_completes_the_run(garden, server):
    process, address = server
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    found = manifest(max((garden / "runs/serve").glob("v*")))
    assert found["status"] == "completed"
    assert found["stages"]["serve"]["facts"]["address"] == address
    assert found["stages"]["serve"]["facts"]["images"] > 60
    with pytest.raises(urllib.error.URLError):
        post(address, b"x")
