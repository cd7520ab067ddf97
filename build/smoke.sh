#!/usr/bin/env bash
# Install a wheel where nothing else is, and record with it as a user would.
#
#   build/smoke.sh WHEEL [PYTHON]
set -euo pipefail

wheel=$(realpath "$1")
python=${2:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$wheel"
cd "$folder" # not where the sources are
program=venv/bin/parakeet-coreml
"$program" --version

sample=$(echo venv/lib/python3.*/site-packages/parakeet_coreml/samples/speech.wav)
if "$program" models path tiny-en --backend onnx >/dev/null 2>&1; then
    model=(--backend onnx --model tiny-en)
else
    echo '{"windows": [{"text": "fix the login bug"}]}' >script.json
    model=(--backend scripted --model script.json)
fi
"$program" progressive-record "${model[@]}" --input "$sample" | tee lines.jsonl
tail -n 1 lines.jsonl | grep -q '^{"type":"done","totalChunks":[1-9][0-9]*,"full_text":"[^"]' || {
    echo "Error: no words in the last line" >&2
    exit 1
}
