#!/usr/bin/env bash
# Sound files to text: one line per file, its name, a tab and what is said in it.
#
#     examples/bash/transcribe.sh *.wav
#     PARAKEET_COREML_MODEL=tiny-en examples/bash/transcribe.sh *.wav   # options by environment
set -euo pipefail

program=${PARAKEET_COREML:-parakeet-coreml}

for file in "$@"; do
  text=$(
    "$program" progressive-record --input "$file" |
      jq --raw-output 'select(.type == "done").full_text'
  )
  printf '%s\t%s\n' "$file" "$text"
done
