from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from filelock import FileLock

from slimline.pipeline.sweeping.journal import Journal

FORK = multiprocessing.get_context("fork")
RECORDS = [{"asked": [{"a": "Straße"}, {"b": "x\ny"}], "first": 0}, {"done": {"0": {"score": 0.5}}}, {"open": [0]}]


def journal(folder: Path) -> Journal:
    return Journal(folder / "journal.log", FileLock(folder / "lock"))


def test_records_are_read_as_they_were_appended(tmp_path: Path) -> None:
    journal(tmp_path).append(RECORDS[:2])
    reader = journal(tmp_path)
    assert list(reader.read_new()) == RECORDS[:2]
    assert list(reader.read_new()) == []
    journal(tmp_path).append(RECORDS[2:])
    assert list(reader.read_new()) == RECORDS[2:]
    assert (tmp_path / "journal.log").read_bytes().count(b"\n") == 3


def test_an_empty_or_missing_journal_has_no_records(tmp_path: Path) -> None:
    reader = journal(tmp_path)
    assert list(reader.read_new()) == []
    assert not reader.repair()
    (tmp_path / "journal.log").write_bytes(b"")
    assert list(reader.read_new()) == []
    assert not reader.repair()
    reader.append(RECORDS)
    assert list(reader.read_new()) == RECORDS


def test_nothing_is_written_for_no_records(tmp_path: Path) -> None:
    journal(tmp_path).append([])
    assert not (tmp_path / "journal.log").exists()


def test_a_journal_that_was_cut_at_any_byte_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # it takes most of the time
    writer = journal(tmp_path)
    writer.append(RECORDS)
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        kept = RECORDS[: whole[:length].count(b"\n")]
        assert list(journal(tmp_path).read_new()) == kept, length
        caplog.clear()
        with caplog.at_level("INFO", logger="slimline.pipeline"):
            journal(tmp_path).append([{"more": length}])
        assert list(journal(tmp_path).read_new()) == [*kept, {"more": length}], length
        torn = length > 0 and whole[length - 1 : length] != b"\n"
        said = ["journal.log: its last line was incomplete and was removed"]
        assert [record.getMessage() for record in caplog.records] == (said if torn else []), length


def test_a_reader_does_not_take_a_line_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    reader = journal(tmp_path)
    path.write_bytes(b'{"a":1}\n{"b"')
    assert list(reader.read_new()) == [{"a": 1}]
    path.write_bytes(b'{"a":1}\n{"b":2}\n')
    assert list(reader.read_new()) == [{"b": 2}]


def test_a_reader_that_saw_a_torn_line_reads_what_replaced_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(b'{"a":1}\n{"torn":"much longer than what comes')
    reader = journal(tmp_path)
    assert list(reader.read_new()) == [{"a": 1}]
    journal(tmp_path).append([{"b": 2}])
    assert list(reader.read_new()) == [{"b": 2}]


def test_concurrent_appends_lose_and_mix_nothing(tmp_path: Path) -> None:
    barrier = FORK.Barrier(4)

    def write(process: int) -> None:
        own = journal(tmp_path)
        barrier.wait(10)
        for number in range(10):
            own.append([{"by": process, "number": number, "text": "x" * 3000}])

    processes = [FORK.Process(target=write, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    found = [json.loads(line) for line in (tmp_path / "journal.log").read_text().splitlines()]
    for process in range(4):
        assert [one["number"] for one in found if one["by"] == process] == list(range(10))
    assert len(found) == 40
