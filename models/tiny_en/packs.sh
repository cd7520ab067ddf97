#!/bin/sh
# Speak all packs of the recipe, evaluation first; $1 is the Python that has the voices.
set -eu
say() { nice -n 19 "$1" -m models.tiny_en.synth --name "$2" --family "$3" --count "$4" --domain "$5"; }
say "$1" e-slt slt 30 held
say "$1" e-kokoro kokoro-held 30 held
say "$1" n-flite flite 2500 narrow
say "$1" n-hibari hibari 3000 narrow
say "$1" n-espeak espeak 2500 narrow
say "$1" n-festival festival 500 narrow
say "$1" w-hibari1 hibari 6000 wide
say "$1" w-espeak1 espeak 6000 wide
say "$1" w-flite1 flite 6000 wide
