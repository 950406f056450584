#!/usr/bin/env bash
# All checks that a commit must pass, in the active environment.
set -euo pipefail
cd "$(dirname "$0")/.."
python --version
ruff check .
ruff format --check .
mypy
lint-imports
exec python -m pytest -n 2 --dist loadfile  # the tests of a file run in one process and share its fixtures
