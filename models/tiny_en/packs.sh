#!/bin/sh
# Speak all packs of the recipe, evaluation first; $1 is the Python that has the voices.
set -eu
python=$1
say() {
  nice -n 19 "$python" -m models.tiny_en.synth \
    --name "$1" --family "$2" --count "$3" --domain "$4" --seed "${5:-0}"
}
say e-slt slt 30 held
say e-kokoro kokoro-held 30 held
say n-flite flite 2500 narrow
say n-hibari hibari 3000 narrow
say n-espeak espeak 2500 narrow
say n-festival festival 500 narrow
say w-hibari1 hibari 6000 wide
say w-espeak1 espeak 6000 wide
say w-flite1 flite 6000 wide
say w-hibari2 hibari 5000 wide
say w-espeak2 espeak 4000 wide
say w-flite2 flite 3000 wide
# Kokoro speaks at about twice real time on one core; the others at a hundred times.
for pack in 1 2 3 4 5; do say "k-$pack" kokoro 150 wide "$pack"; done
