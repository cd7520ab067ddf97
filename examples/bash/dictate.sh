#!/usr/bin/env bash
# Dictation in a shell: a line per chunk as it comes. Ctrl-C ends it, and the last words still come.
#
#     examples/bash/dictate.sh --model tiny-en
set -euo pipefail

# Ctrl-C reaches the whole pipeline. The recorder takes it as "stop"; jq has to stay for the rest.
# The exit code is the recorder's.
parakeet-coreml progressive-record "$@" |
  (trap '' INT && exec jq --unbuffered --raw-output 'select(.type == "chunk" and .text != "").text')
