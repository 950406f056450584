"""Points in processes of Hydra's launchers, with the stage of a plug-in: such a process imports Slimline by itself."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipeline.plugin_making import install
from tests.tiers import release

ROOT = Path(__file__).parents[3]
GLOSS = """
    from dataclasses import dataclass
    from pathlib import Path
    from slimline.pipeline.artifact import Facts
    from slimline.pipeline.errors import UserError
    from slimline.pipeline.stage import stage

    @dataclass
    class GlossConfig:
        strokes: int = 3
        seed: int = 0

    @stage()
    def gloss(config: GlossConfig, out: Path) -> Facts:
        if config.strokes > 8:
            raise UserError("The brush is dry.", "Lower gloss.strokes.")
        (out / "gloss.txt").write_text("bright", encoding="utf-8")
        return {"shine": config.strokes + config.seed / 10}
    """
FILES = {
    "glossbox/__init__.py": "",
    "glossbox/gloss.py": GLOSS,
    "glossbox/conf/gloss/default.yaml": "defaults:\n  - schema\n",
    "glossbox/conf/experiment/glossy.yaml": (
        "# @package _global_\ndefaults:\n  - /gloss: default\n\n"
        "run:\n  name: glossy\n  targets: [gloss]\n"
        "  sweep: {target: gloss, metric: shine, seeds: 2, seed_settings: [gloss.seed]}\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", release(["joblib", "submitit_local"], only_release=["submitit_local"]))
def test_points_run_in_the_processes_of_a_launcher(tmp_path: Path, launcher: str) -> None:
    package = f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher"
    if importlib.util.find_spec("hydra_plugins") is None or importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    install(tmp_path / "site", "gloss-box", {"slimline.stages": {"gloss": "glossbox.gloss:gloss"}}, FILES)
    path = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
    typed = ["-m", "+experiment=glossy", "gloss.strokes=3,9,5", f"hydra/launcher={launcher}"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *typed],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "1 of 3 points of the sweep failed:\n  point 1: The brush is dry." in done.stderr
    assert "Warning" not in done.stderr
    board = pq.read_table(tmp_path / "runs/glossy/sweeps/s001/leaderboard.parquet").to_pylist()
    assert [(row["point"], row["status"], row["scores"]) for row in board] == [
        (2, "completed", [5.0, 5.1]),
        (0, "completed", [3.0, 3.1]),
        (1, "failed", []),
    ]
    assert board[0]["run"] == "v001"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["runs", "site"]
    journal = (tmp_path / "runs/glossy/sweeps/s001/journal.log").read_text()
    assert journal.count('"begun"') == 3
