#!/usr/bin/env bash
# Sets up what is missing and starts the console. A second start installs nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'TEXT'
Usage: ./start.sh [--prepare] [--dev] [--no-engine] [--bind ADDRESS:PORT]

Sets up what is missing (Python environment, console packages, vLLM), then starts the console.
Stopping it with Ctrl-C leaves the engines running; the next start takes them up again.

  --prepare     set up, but do not start
  --dev         also install what the checks and the tests need
  --no-engine   do not install vLLM
  --bind        where the console listens, instead of LLMOPS_BIND (127.0.0.1:7860)

Environment: LLMOPS_DATA (var/), LLMOPS_ENGINES (where vLLM is installed), LLMOPS_VLLM (a vllm command of
your own, nothing is installed then), LLMOPS_MODEL_ROOTS, LLMOPS_ALLOWED_HOSTS, HF_ENDPOINT, HF_TOKEN.
TEXT
}

prepare_only='' with_dev='' with_engine=yes
serve=()
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --prepare) prepare_only=yes ;;
        --dev) with_dev=yes ;;
        --no-engine) with_engine='' ;;
        *) serve+=("$argument") ;;
    esac
done

bold='' dim='' red='' plain='' live=''
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
    live=yes
    if [[ -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'; fi
fi

step() { printf '%s[%s/4]%s %s\n' "$bold" "$1" "$plain" "$2"; }
detail() { printf '      %s%s%s\n' "$dim" "$1" "$plain"; }
give_up() {
    printf '\n%s%s%s\n' "$red" "$1" "$plain" >&2
    shift
    (($#)) && printf '%s\n' "$@" >&2
    exit 1
}

# Run a command into a log, showing how long it takes and its last line: live on a terminal, else every 10 s.
watched() {
    local log=$1 began=$SECONDS child code=0 ticks=0
    shift
    "$@" >"$log" 2>&1 </dev/null &
    child=$!
    trap 'kill "$child" 2>/dev/null; exit 130' INT
    trap 'kill "$child" 2>/dev/null; exit 143' TERM HUP
    while kill -0 "$child" 2>/dev/null; do
        if [[ $live ]]; then
            printf '\r\e[K      %s%s s  %.60s%s' "$dim" $((SECONDS - began)) "$(tail -n 1 "$log" | tr -d '\r\n')" "$plain"
        elif ((ticks % 50 == 49)); then
            detail "$((SECONDS - began)) s  $(tail -n 1 "$log" | cut -c 1-60)"
        fi
        ticks=$((ticks + 1))
        sleep 0.2
    done
    trap - INT TERM HUP
    wait "$child" || code=$?
    [[ $live ]] && printf '\r\e[K'
    return "$code"
}

find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

fingerprint() { cat "$@" | sha256sum | cut -c 1-16; }

# Install requirements once: their hash is kept, and an installation that was cut off is begun anew.
packages() {
    local marker=$1 wanted log=.venv/pip.log began=$SECONDS
    shift
    wanted=$(fingerprint "$@")
    if [[ $(cat "$marker" 2>/dev/null) == "$wanted" ]]; then
        detail 'already there'
        return
    fi
    touch .venv/unfinished
    if ! watched "$log" "$python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
        "${@/#/--requirement=}"; then
        tail -n 5 "$log" | sed 's/^/      /' >&2
        if grep -qE 'No space left on device' "$log"; then
            give_up 'The disk is full.' 'Free some space, then run ./start.sh again.'
        elif grep -qE 'Failed to establish|connection broken|name resolution|Read timed out|ProxyError' "$log"; then
            give_up 'The package index could not be reached.' 'Check the network or the proxy, then run ./start.sh again.'
        fi
        give_up 'The packages could not be installed.' "The whole output is in $PWD/$log; run ./start.sh again once that is mended."
    fi
    printf '%s\n' "$wanted" >"$marker"
    rm -f .venv/unfinished
    detail "installed in $((SECONDS - began)) s"
}

# Set in somebody's shell for other work, these would send packages elsewhere or leave them slow to load.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER PIP_ROOT PIP_NO_COMPILE
python=.venv/bin/python
began=$SECONDS

step 1 'Python environment'
if [[ -e .venv/unfinished ]]; then
    detail 'the last set-up was cut off: beginning anew'
    rm -rf .venv
fi
if "$python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    detail 'already there'
else
    base=$(find_python) || give_up 'Python 3.11 or newer is needed, and there is none here.' \
        'Install it (Debian, Ubuntu: sudo apt-get install python3 python3-venv), then run ./start.sh again.'
    rm -rf .venv
    log=$(mktemp)
    if ! watched "$log" "$base" -m venv .venv; then
        rm -rf .venv
        tail -n 5 "$log" | sed 's/^/      /' >&2
        rm -f "$log"
        give_up "$base cannot make an environment in $PWD." \
            'If its venv module is missing: sudo apt-get install python3-venv. Then run ./start.sh again.'
    fi
    rm -f "$log"
    detail "$("$python" --version), in $((SECONDS - began)) s"
fi

step 2 'Console packages'
packages .venv/console-packages requirements.txt
[[ -z $with_dev ]] || packages .venv/dev-packages requirements/dev.txt

step 3 'Engine (vLLM)'
if [[ $with_engine ]]; then
    code=0
    "$python" -m instances.vllm.install || code=$?
    ((code < 128)) || exit "$code"
    ((code == 0)) || detail 'The console starts all the same.'
else
    detail 'left out, as asked'
fi

if [[ $prepare_only ]]; then
    detail "prepared in $((SECONDS - began)) s"
    exit
fi

step 4 'Database and console'
exec "$python" manage.py serve ${serve[@]+"${serve[@]}"}
