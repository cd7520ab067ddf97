#!/usr/bin/env bash
# Dictation in a shell: a line per chunk as it comes. Ctrl-C ends it, and the last words still come.
#
#     examples/bash/dictate.sh --model tiny-en
#     PARAKEET_COREML=.venv/bin/parakeet-coreml examples/bash/dictate.sh    # a program of your choice
set -euo pipefail

program=${PARAKEET_COREML:-parakeet-coreml}
command -v "$program" >/dev/null || {
  echo "Error: there is no program '$program'; name it: PARAKEET_COREML=/path/to/parakeet-coreml" >&2
  exit 127
}

# Ctrl-C reaches the whole pipeline. The recorder takes it as "stop"; jq has to stay for the rest.
# "Listening" is what the recorder says on the terminal itself. The exit code is the recorder's.
"$program" progressive-record "$@" |
  (trap '' INT && exec jq --unbuffered --raw-output 'select(.type == "chunk" and .text != "").text')
