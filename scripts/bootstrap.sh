#!/bin/sh
# Makes the virtual environment in $1 with the interpreter $2; on Debian gets the missing venv module where it may.
set -eu
venv=$1 python=$2
if ! command -v "$python" >/dev/null 2>&1; then
    echo "$python is not installed: Python 3.11 or newer is needed (apt-get install python3 python3-venv)" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$("$python" --version) is too old: Python 3.11 or newer is needed; name one with make PYTHON=python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv module is missing; installing Debian's python3-venv" >&2
    if [ "$(id -u)" = 0 ]; then root=; elif sudo -n true 2>/dev/null; then root="sudo -n"; else
        echo "run this once, then try again: sudo apt-get install -y python3-venv" >&2
        exit 1
    fi
    $root apt-get update -qq
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >&2
fi
"$python" -m venv "$venv"
