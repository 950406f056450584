"""Messages about a TensorFlow that was imported before Slimline; a fake replaces it, as its import takes seconds."""

from __future__ import annotations

import platform
import sys
from types import SimpleNamespace

import pytest

from slimline import running_tensorflow
from slimline.pipeline.errors import UserError
from slimline.running_tensorflow import OURS, check_running_tensorflow, functions_as_graphs


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_tensorflow, "_said", False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.delitem(sys.modules, OURS, raising=False)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)


def run_tensorflow(monkeypatch: pytest.MonkeyPatch, *, within: int = 0, across: int = 0, eager: bool = True) -> None:
    threading = SimpleNamespace(
        get_intra_op_parallelism_threads=lambda: within, get_inter_op_parallelism_threads=lambda: across
    )
    tensorflow = SimpleNamespace(
        executing_eagerly=lambda: eager, config=SimpleNamespace(threading=threading), Tensor=SimpleNamespace()
    )
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)


def test_kept_settings_are_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    run_tensorflow(monkeypatch, within=2, across=4)
    check_running_tensorflow()
    check_running_tensorflow()
    [record] = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "slimline.running_tensorflow")
    said = record.getMessage()
    assert "its default for TF_ENABLE_ONEDNN_OPTS (Slimline sets 1)" in said
    assert "its default for TF_CPP_MIN_LOG_LEVEL (Slimline sets 3)" in said
    assert "2 threads within an operation" in said
    assert "4 threads across operations" in said


def test_settings_that_the_user_chose_are_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_tensorflow(monkeypatch)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    check_running_tensorflow()
    assert not caplog.records


def test_nothing_is_logged_if_slimline_imported_tensorflow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_tensorflow(monkeypatch, within=2)
    monkeypatch.setitem(sys.modules, OURS, SimpleNamespace())
    check_running_tensorflow()
    assert not caplog.records


def test_without_tensorflow_nothing_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    check_running_tensorflow()
    assert not caplog.records
    assert "tensorflow" not in sys.modules


def test_without_eager_execution_nothing_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run_tensorflow(monkeypatch, eager=False)
    monkeypatch.setitem(sys.modules, OURS, SimpleNamespace())
    with pytest.raises(UserError, match="eager execution is off"):
        check_running_tensorflow()


def test_with_numpy_behavior_nothing_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run_tensorflow(monkeypatch)
    sys.modules["tensorflow"].Tensor.ravel = None
    with pytest.raises(UserError, match="NumPy behavior is on"):
        check_running_tensorflow()


@pytest.mark.parametrize("eagerly", [True, False])
def test_functions_run_as_graphs_inside_and_as_before_afterwards(
    monkeypatch: pytest.MonkeyPatch, eagerly: bool
) -> None:
    state = [eagerly]
    config = SimpleNamespace(functions_run_eagerly=lambda: state[-1], run_functions_eagerly=state.append)
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    with pytest.raises(ZeroDivisionError), functions_as_graphs():
        assert state[-1] is False
        raise ZeroDivisionError
    assert state[-1] is eagerly


def test_without_tensorflow_functions_need_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with functions_as_graphs():
        assert "tensorflow" not in sys.modules
