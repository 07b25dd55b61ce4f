#!/usr/bin/env bash
# The one check command: format, lint, types, templates, Django's own checks, then the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'TEXT'
Usage: ./check.sh [--static | --fast | --stress]

  --static   no tests
  --fast     leave out the tests that need the real engine or a browser
  --stress   also run the tests that take long or load the machine

It expects what ./test.sh or `./start.sh --dev --prepare` sets up.
TEXT
}

mode=${1:-all}
case $mode in
    -h | --help) usage; exit 0 ;;
    all | --static | --fast | --stress) ;;
    *) usage >&2; exit 2 ;;
esac

python=.venv/bin/python
failed=()

# Every check runs, also after one has failed, so that one run tells all.
check() {
    local name=$1 began=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        printf -- '-- %s: fine, %s s\n' "$name" $((SECONDS - began))
    else
        printf -- '-- %s: FAILED, %s s\n' "$name" $((SECONDS - began))
        failed+=("$name")
    fi
}

# Checks and tests leave the data of a console that somebody uses alone.
LLMOPS_DATA=$(mktemp -d -t llmops-check-XXXXXX)
export LLMOPS_DATA
trap 'rm -rf "$LLMOPS_DATA"' EXIT

check format "$python" -m ruff format --check .
check lint "$python" -m ruff check .
check types "$python" -m mypy
check templates "$python" -m djhtml --check --tabwidth 4 templates
check deployment env LLMOPS_HTTPS=true "$python" manage.py check --deploy --fail-level WARNING
check migrations "$python" manage.py makemigrations --check --dry-run

tests() { "$python" -m pytest -p tests.no_skips -rs "$@"; }
if [[ $mode != --static ]]; then
    check 'tests on the fake engine' tests -n 2 --dist loadgroup -m 'not engine and not browser and not stress'
    [[ $mode == --fast ]] || check 'tests on the real engine and in a browser' tests -m '(engine or browser) and not stress'
    [[ $mode != --stress ]] || check 'tests under stress' tests -m stress
fi

printf '\n'
if ((${#failed[@]})); then
    printf 'Failed after %s s: %s\n' "$SECONDS" "$(IFS=,; echo "${failed[*]}")"
    exit 1
fi
printf 'All checks passed in %s s.\n' "$SECONDS"
