"""TensorBoard's HParams tab: the points of a sweep, read back through TensorBoard's own plugin, and from its server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from slimline.stages.pages.hyperparameters import write_hparams
from tests.stages.loopback import LoopbackServer
from tests.stages.pages.sweep_making import LOSS, TOP1, point, write_sweep

ROOT = Path(__file__).parents[3]
RATE = "train.optimizer.learning_rate"


def points() -> list[dict[str, Any]]:
    return [
        point(3, 0.9, {"head": "mlp", RATE: 0.01}, seconds=2.5),
        point(0, 0.8, {"head": "linear", RATE: 0.1}),
        point(1, None, {"head": None, RATE: 5.0}),
        point(2, None, {"head": "mlp", RATE: 0.3}, status="pruned"),
    ]


class Tab:
    """What TensorBoard's HParams tab shows of a folder of logs: its settings, its metrics and its sessions."""

    def __init__(self, logs: Path) -> None:
        multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(logs)).Reload()
        provider = data_provider.MultiplexerDataProvider(multiplexer, str(logs))
        backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
        asked: dict[str, Any] = {
            "include_metrics": True,
            "hparams_run_to_tag_to_content": backend.hparams_metadata(context.RequestContext(), ""),
            "data_provider_hparams": [],
        }
        self.experiment = backend.experiment_from_metadata(context.RequestContext(), "", **asked)
        request = api_pb2.ListSessionGroupsRequest(slice_size=10_000, include_metrics=True)
        request.allowed_statuses.extend(api_pb2.Status.values())
        names = {(metric.name.group, metric.name.tag) for metric in self.experiment.metric_infos}
        for group, tag in sorted(names):
            request.col_params.add().metric.MergeFrom(api_pb2.MetricName(group=group, tag=tag))
        handler = list_session_groups.Handler(context.RequestContext(), backend, "", request)
        self.groups = handler.run().session_groups


def value(field: Any) -> Any:
    return getattr(field, field.WhichOneof("kind")) if field.WhichOneof("kind") else None


@pytest.mark.slow
def test_the_tab_shows_the_settings_and_facts_of_each_point(tmp_path):
    folder = write_sweep(tmp_path, points())
    write_hparams(folder)
    tab = Tab(folder / "logs")
    assert {info.name for info in tab.experiment.hparam_infos} == {"head", RATE}
    assert {info.name.tag for info in tab.experiment.metric_infos} == {TOP1, LOSS, "seconds"}
    shown = {
        session.name: (
            {name: value(one) for name, one in group.hparams.items()},
            {one.name.tag: one.value for one in session.metric_values},
            session.status,
        )
        for group in tab.groups
        for session in group.sessions
    }
    assert shown == {
        "003": ({"head": "mlp", RATE: 0.01}, pytest.approx({TOP1: 0.9, LOSS: 0.1, "seconds": 2.5}), 1),
        "000": ({"head": "linear", RATE: 0.1}, pytest.approx({TOP1: 0.8, LOSS: 0.2, "seconds": 1.5}), 1),
        "001": ({RATE: 5.0}, {"seconds": 1.5}, 2),
        "002": ({"head": "mlp", RATE: 0.3}, {"seconds": 1.5}, 0),
    }


@pytest.mark.slow
def test_a_sweep_and_other_runs_are_shown_together(tmp_path):
    """An experiment that one sweep declared would hide the settings that only another one has."""
    for name, setting in (("s001", "head"), ("s002", "train.epochs")):
        write_hparams(write_sweep(tmp_path, [point(0, 0.5, {setting: "3"})], name))
    assert {info.name for info in Tab(tmp_path).experiment.hparam_infos} == {"head", "train.epochs"}


def test_files_are_written_again_only_where_a_point_changed(tmp_path):
    folder = write_sweep(tmp_path / "one", points())
    write_hparams(folder)
    files = sorted((folder / "logs").rglob("*"))
    times = {path: path.stat().st_mtime_ns for path in files}
    changed = write_sweep(tmp_path / "two", [points()[0] | {"seconds": 9.0}, *points()[1:]])
    (changed / "leaderboard.parquet").replace(folder / "leaderboard.parquet")
    write_hparams(folder)
    assert sorted((folder / "logs").rglob("*")) == files
    again = [path for path in files if path.is_file() and path.stat().st_mtime_ns != times[path]]
    assert [path.parent.name for path in again] == ["003"]


@pytest.mark.slow
def test_a_thousand_points_are_small_and_take_no_tensorflow(tmp_path):
    settings = [{"head": "mlp", RATE: 0.001 * number, "train.label_smoothing": 0.1} for number in range(1000)]
    folder = write_sweep(tmp_path, [point(number, 0.5, one) for number, one in enumerate(settings)])
    code = f"""
import sys, time
from pathlib import Path
from slimline.stages.pages.hyperparameters import write_hparams
write_hparams(Path({str(folder)!r}))
print(time.process_time(), *{{"tensorflow", "keras"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    [seconds] = done.stdout.split()
    assert float(seconds) < 10  # 2 s on an idle machine
    sizes = [path.stat().st_size for path in (folder / "logs").rglob("*tfevents*")]
    assert len(sizes) == 1000 and max(sizes) < 5000


@pytest.fixture
def address(tmp_path) -> Iterator[str]:
    """Start TensorBoard on a free port, and yield its address."""
    folder = write_sweep(tmp_path, points())
    write_hparams(folder)
    free = LoopbackServer()
    free.close()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "logs"), "--port", str(free.port)]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        yield f"http://127.0.0.1:{free.port}/data/plugin/hparams/experiment"
        server.terminate()


@pytest.mark.release
def test_tensorboard_serves_the_points(address):
    deadline = time.monotonic() + 120
    found: dict[str, Any] = {}
    while time.monotonic() < deadline and "hparamInfos" not in found:
        time.sleep(0.5)
        request = urllib.request.Request(address, data=b"{}", headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found = json.load(answer)
        except OSError:
            continue  # it does not listen yet
    assert {info["name"] for info in found["hparamInfos"]} == {"head", RATE}
