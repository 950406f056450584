"""The points of a sweep for TensorBoard's HParams tab.

The files are written with TensorBoard's own protocol buffers, without TensorFlow: `tensorboard.plugins.hparams.summary`
imports it, which takes three seconds, and the modules that it builds on do not. The format of the summaries is that of
https://github.com/tensorflow/tensorboard/blob/2.21/tensorboard/plugins/hparams/summary.py.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from slimline.stages.pages.sweep_folder import Row, Sweep, read_sweep

LOGS = "logs"
FILE = "events.out.tfevents.0.hparams"
"""The name of each file; TensorBoard reads the files whose name contains `tfevents`."""

STATES = {"completed": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
"""TensorBoard's word for a point's status; it has none for points that were skipped or pruned."""


def write_hparams(folder: Path) -> None:
    """Write `logs/<point>` of a sweep's folder for `tensorboard --logdir`: settings and facts of each point.

    No experiment is declared, so that `tensorboard --logdir runs/flowers` still shows the settings of other runs: see
    `slimline.stages.training.tensorboard`. Files with the same content are not written again: a TensorBoard that reads
    them is not disturbed.

    Raises:
        UserError: the folder is not a sweep's, a file is damaged or of a later version, or there are no points.
    """
    sweep = read_sweep(folder)
    started = sweep.started.timestamp()
    for row in sweep.rows:
        _write(folder / LOGS / f"{row['point']:03d}" / FILE, started, _session(sweep, row, started))


def _session(sweep: Sweep, row: Row, started: float) -> list[Any]:
    """Return the summaries of a point: its settings, its facts, and how it ended."""
    values = {name: row[name] for name in sweep.settings if row[name] is not None}
    facts = {name: row[name] for name in [*sweep.facts, "seconds"] if isinstance(row[name], float)}
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=started)
    for name, value in values.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        elif isinstance(value, bool):
            start.hparams[name].bool_value = value
        else:
            start.hparams[name].number_value = value
    end = plugin_data_pb2.SessionEndInfo(
        status=STATES.get(row["status"], api_pb2.STATUS_UNKNOWN), end_time_secs=started + (row["seconds"] or 0)
    )
    return [
        _plugin_summary(metadata.SESSION_START_INFO_TAG, session_start_info=start),
        Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in facts.items()]),
        _plugin_summary(metadata.SESSION_END_INFO_TAG, session_end_info=end),
    ]


def _plugin_summary(tag: str, **data: Any) -> Any:
    """Return a summary that holds data for the plugin: `session_start_info` or `session_end_info`."""
    about: SummaryMetadata = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**data))
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])


def _write(path: Path, time: float, summaries: Iterable[Any]) -> None:
    """Write an event file, atomically, unless it has this content already."""
    written = io.BytesIO()
    records = RecordWriter(written)
    for event in (
        Event(wall_time=time, file_version="brain.Event:2"),
        *(Event(wall_time=time, summary=one) for one in summaries),
    ):
        records.write(event.SerializeToString(deterministic=True))
    if path.is_file() and path.read_bytes() == written.getvalue():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".writing")
    temporary.write_bytes(written.getvalue())
    os.replace(temporary, path)
