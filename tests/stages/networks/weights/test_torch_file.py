"""PyTorch's old files: tensors are read, and no code runs."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.fetching.packages import package_file
from slimline.stages.networks.weights.published import published_weights
from slimline.stages.networks.weights.torch_file import MAGIC, read_torch_file
from slimline.stages.networks.weights.torch_names import map_torch_weights


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/slimline-was-here",)


def a_file(path: Path, state: object) -> Path:
    file = io.BytesIO()
    for part in (MAGIC, 1001, {}, state, []):
        pickle.dump(part, file, protocol=2)
    path.write_bytes(file.getvalue())
    return path


def test_the_published_file_reads_and_maps_to_slim_names():
    [published] = published_weights("efficientnet_lite0", 1.0, 224)
    tensors = read_torch_file(package_file(published.package, published.file))
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert tensors["_fc.weight"].dtype == np.float32


def test_layers_map_by_their_order_and_their_axes():
    tensors = {
        "stem.weight": np.arange(54.0).reshape(2, 3, 3, 3),
        "bn.weight": np.full(2, 1.0),
        "bn.bias": np.full(2, 2.0),
        "bn.running_mean": np.full(2, 3.0),
        "bn.running_var": np.full(2, 4.0),
        "fc.weight": np.arange(6.0).reshape(3, 2),
        "fc.bias": np.arange(3.0),
    }
    norm = [f"N/Conv/BatchNorm/{name}" for name in ("beta", "gamma", "moving_mean", "moving_variance")]
    mapped = map_torch_weights(tensors, ["N/Conv/weights", *norm, "N/Logits/weights", "N/Logits/biases"])
    assert mapped["N/Conv/weights"].shape == (3, 3, 3, 2)
    assert mapped["N/Conv/weights"][1, 2, 0, 1] == tensors["stem.weight"][1, 0, 1, 2]
    assert mapped["N/Logits/weights"].shape == (1, 1, 2, 3)
    assert [mapped[name][0] for name in norm] == [2.0, 1.0, 3.0, 4.0]
    with pytest.raises(ValueError):
        map_torch_weights(tensors, ["N/Conv/weights", *norm, "N/Logits/weights"])


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = a_file(tmp_path / "evil.pth", {"weight": Evil()})
    with pytest.raises(UserError, match="system"):
        read_torch_file(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a newer file", b"\x80\x02K\x01."])
def test_another_format_is_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="can't be read"):
        read_torch_file(path)


def test_a_truncated_file_is_refused(tmp_path):
    [published] = published_weights("efficientnet_lite0", 1.0, 224)
    whole = package_file(published.package, published.file).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="can't be read"):
        read_torch_file(tmp_path / "cut.pth")
