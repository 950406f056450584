"""What to do if Slimline is started by a Python that does not have its packages."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

PACKAGES = {"hydra", "omegaconf", "yaml", "antlr4", "numpy", "rich", "pyarrow", "PIL", "filelock", "requests"}


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """Return what to type if a package that Slimline needs is not installed; None for any other module."""
    package = (error.name or "").partition(".")[0]
    if package not in PACKAGES:
        return None
    checkout = Path(__file__).resolve().parents[1]
    found = next((one for one in (Path.cwd(), checkout) if (one / ".venv/bin/activate").is_file()), None)
    if found is not None:
        where = ".venv" if found == Path.cwd() else shlex.quote(str(found / ".venv"))
        advice = f"Activate the environment first: . {where}/bin/activate"
    else:
        folder = shlex.quote(str(checkout))
        advice = f"Set it up: cd {folder} && python3 -m venv .venv && . .venv/bin/activate && pip install -e ."
    return f"The package {package} is not installed in this Python ({sys.executable}).\n{advice}"
