#!/usr/bin/env bash
# Make an environment with the program in it, or say in one line what is needed for that.
#
#   build/venv.sh FOLDER WHAT [PIP-OPTION…]     WHAT: as after `pip install`, a folder as a link
#
# LOCK names a file of requirements with hashes, which is installed first.
# PYTHON names the interpreter; without it, python3 or the newest that fits. What an earlier try
# left in FOLDER is used only if it is whole.
set -euo pipefail

only_ask=
if [ "$1" = --whole ]; then # prints `yes` if FOLDER needs nothing but what is installed into it
    only_ask=yes
    shift
fi
folder=$1 what=${2:-}
wanted="3.11, 3.12 or 3.13"
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
version='import sys; print("%d.%d.%d" % sys.version_info[:3])'

stop() {
    printf 'Error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
    exit 1
}

install_python() {
    case $(uname -s) in
        Darwin) echo "brew install python@3.13" ;;
        *) echo "uv python install 3.13  (or your distribution's package: apt install python3.13)" ;;
    esac
}

choose() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || stop "there is no program '$PYTHON'" \
            "PYTHON names a Python $wanted: make run PYTHON=python3.13"
        "$PYTHON" -c "$fits" 2>/dev/null ||
            stop "Python $wanted is needed; $PYTHON is $("$PYTHON" -c "$version" 2>&1 | tail -n 1)" \
                "make run PYTHON=/path/to/python3.13; to get one: $(install_python)"
        echo "$PYTHON"
        return
    fi
    for python in python3 python3.13 python3.12 python3.11; do
        if "$python" -c "$fits" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    found="python3 is $(python3 -c "$version" 2>/dev/null)" || found="no python3 is here"
    stop "Python $wanted is needed; $found" \
        "to get one: $(install_python)" "then: make run PYTHON=/path/to/python3.13"
}

# Whether the interpreter in it still runs, has pip, and is the one that was asked for.
whole() {
    [ -x "$folder/bin/python" ] && "$folder/bin/python" -c "$fits; import pip" 2>/dev/null &&
        [ "$("$folder/bin/python" -c "$version")" = "$("$python" -c "$version")" ]
}

if [ -n "$only_ask" ]; then
    if python=$(choose 2>/dev/null) && whole; then echo yes; fi
    exit
fi

shift 2
python=$(choose)
if ! whole; then
    "$python" -c 'import venv, ensurepip' 2>/dev/null || stop \
        "$python has no venv module" \
        "on Debian and Ubuntu: sudo apt install python3-venv"
    echo "Making $folder with Python $("$python" -c "$version")" >&2
    "$python" -m venv --clear "$folder"
fi
echo "Installing what '$what' needs into $folder; the first time this takes a minute" >&2
install() {
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
case $what in .*) set -- --editable "$what" "$@" ;; *) set -- "$what" "$@" ;; esac
if ! { { [ -z "${LOCK:-}" ] || install --require-hashes --requirement "$LOCK"; } && install "$@"; }; then
    stop "pip could not install it; the lines above say why" \
        "behind a proxy: export HTTPS_PROXY=http://host:port" \
        "with an index of your own: export PIP_INDEX_URL=https://…"
fi
