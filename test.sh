#!/usr/bin/env bash
# Sets up all that the checks and the tests need, then runs ./check.sh with the same arguments.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

debian_packages=(chromium fonts-inter fonts-jetbrains-mono fonts-noto-cjk libfaketime postgresql prometheus redis-server)

case ${1:-} in -h | --help) exec ./check.sh --help ;; esac

# Whatever Debian packages the tests need are installed here, in one step.
missing=()
for package in "${debian_packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        printf '== Debian packages: %s\n' "${missing[*]}"
        log=$(mktemp)
        # RUNLEVEL=1: servers are installed and not started; the tests start their own.
        if ! { apt-get update -q && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } \
            >"$log" 2>&1 </dev/null; then
            tail -n 20 "$log" >&2
            printf 'These packages could not be installed: %s\n' "${missing[*]}" >&2
            [[ ${CI:-} != true ]] || exit 1
        fi
        rm -f "$log"
    else
        printf 'Not installed, and this account cannot: %s\nTests that need them are skipped.\n' "${missing[*]}" >&2
    fi
fi

prepare=(--dev --prepare)
case ${1:-} in --fast | --static) prepare+=(--no-engine) ;; esac
./start.sh "${prepare[@]}"
if [[ ${prepare[*]} != *--no-engine* && ${CI:-} == true ]]; then
    .venv/bin/python -m instances.vllm.install --check
fi

code=0
./check.sh "$@" || code=$?
printf 'Everything together: %s s.\n' "$SECONDS"
exit "$code"
