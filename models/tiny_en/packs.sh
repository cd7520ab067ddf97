#!/bin/sh
# Speak the packs of the recipe, evaluation first; $1 is the Python that has the voices.
# With `digits` as $2 only what schedule-digits.json needs. WORK is where, if not the usual place.
set -eu
python=$1
say() {
  nice -n 19 "$python" -m models.tiny_en.synth \
    ${WORK:+--work "$WORK"} --name "$1" --family "$2" --count "$3" --domain "$4" --seed "${5:-0}"
}
say e-slt slt 30 held
say e-wide slt 240 wide
say n-flite flite 2500 narrow
say n-hibari hibari 3000 narrow
say n-espeak espeak 2500 narrow
say n-festival festival 500 narrow
say n-pico pico 1500 narrow
if [ "${2:-}" = digits ]; then exit; fi
say e-kokoro kokoro-held 30 held
say w-hibari1 hibari 6000 wide
say w-espeak1 espeak 6000 wide
say w-flite1 flite 6000 wide
say w-bent1 flite-bent 2500 wide
say w-hibari2 hibari 7000 wide
say w-espeak2 espeak 3000 wide
say w-flite2 flite 4000 wide
say w-bent2 flite-bent 2500 wide
say w-hibari3 hibari 7000 wide
say w-pico1 pico 4000 wide
say w-rhvoice1 rhvoice 3000 wide
say w-rhvoice2 rhvoice 3000 wide
say w-pico2 pico 5000 wide
say w-rhvoice3 rhvoice 4000 wide
# Kokoro speaks about as fast as one would on one core; the others fifty times as fast.
for pack in 1 2 3 4 5 6 7 8 9; do say "k-$pack" kokoro 150 wide "$pack"; done
