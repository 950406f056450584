#!/usr/bin/env bash
# Everything that gates a commit, in the environment that is active.
set -euo pipefail
cd "$(dirname "$0")/.."
python --version
ruff check .
ruff format --check .
mypy
lint-imports
exec python -m pytest -n 2 --dist loadfile  # a module's fixtures are made once
