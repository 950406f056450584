"""Imports at start-up: composing a config imports no large package, and evaluation delays scikit-learn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("table", {"tensorflow", "tf_slim", "numpy", "scipy", "sklearn", "pyarrow", "PIL", "cv2", "requests", "rich"}),
        ("evaluation.measures", {"sklearn", "scipy.optimize"}),
        ("models.opened", {"onnxruntime", "ai_edge_litert", "sklearn"}),
    ],
)
def test_slow_packages_are_not_imported(module: str, absent: set[str]) -> None:
    code = f"import sys, slimline.stages.{module}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
