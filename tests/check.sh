#!/usr/bin/env bash
# All checks that a commit must pass, in the active environment: format, lint rules, types, contracts and tests.
set -uo pipefail
cd "$(dirname "$0")/.."

usage="usage: tests/check.sh [--quick | --release]
  --quick    all tests but those marked slow or release; about 2 minutes on two cores
  (no flag)  all tests but those marked release; about 8 minutes
  --release  every test: also browsers, the wheel, a notebook, long kill tests; a new interpreter for each command"
case "$#:${1-}" in
    0:) tests="not release" ;;
    1:--quick) tests="not slow and not release" ;;
    1:--release) tests="" && export SLIMLINE_RELEASE_TESTS=1 ;;
    1:-h | 1:--help) echo "$usage" && exit 0 ;;
    *) echo "$usage" >&2 && exit 2 ;;
esac

python --version || exit
said=$(mktemp) || exit
trap 'rm -f "$said"' EXIT

# The static checks run at the same time as the tests. Their output is printed when the tests have ended.
static_checks() {
    local failed=0 command
    for command in "ruff check ." "ruff format --check ." "mypy" "lint-imports"; do
        echo "+ $command"
        $command || failed=1
    done
    return "$failed"
}
static_checks >"$said" 2>&1 &
static=$!

python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "$tests"
tested=$?
wait "$static"
checked=$?
cat "$said"
[ "$tested" -eq 0 ] || echo "tests/check.sh: the tests failed" >&2
[ "$checked" -eq 0 ] || echo "tests/check.sh: ruff, mypy or lint-imports failed" >&2
[ "$tested" -eq 0 ] && [ "$checked" -eq 0 ]
