#!/usr/bin/env bash
# The README's commands on a Debian that has nothing else, as an ordinary user: `make fresh`.
#
#   build/fresh.sh [SUITE]        bookworm by default; needs root (sudo is asked) and debootstrap
#
# TESTS=tests/host runs a part of the tests. Certificates and the variables of pip and of proxies are
# taken from here; nothing else is. The folder is removed at the end, unless KEEP=1.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || exec sudo --preserve-env=TESTS,KEEP,HTTPS_PROXY "$0" "$@"
if [ "${IN_FRESH:-}" != 1 ]; then # mounts of our own, which go when we do
    IN_FRESH=1 exec unshare --mount --propagation private "$0" "$@"
fi
command -v debootstrap >/dev/null || {
    echo "Error: debootstrap is absent; on Debian and Ubuntu: sudo apt install debootstrap" >&2
    exit 1
}
suite=${1:-bookworm}
source=$(cd "$(dirname "$0")/.." && pwd)
root=$(mktemp -d /var/tmp/fresh.XXXXXX)
chmod 755 "$root"
tidy() { # lazily: something in there may still run, and hold what is mounted
    local name
    for name in proc dev; do
        ! mountpoint --quiet "$root/$name" || umount --recursive --lazy "$root/$name" || return 0
    done
    rm -rf --one-file-system "$root" || true
}
[ "${KEEP:-}" = 1 ] || trap tidy EXIT

say() { printf '\n=== %s\n' "$1"; }
inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
install() { inside apt-get install -qq --no-install-recommends "$@" >/dev/null; }
person() {
    local kept=() name
    for name in HTTPS_PROXY HTTP_PROXY NO_PROXY https_proxy http_proxy no_proxy \
        PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_DEFAULT_TIMEOUT; do
        [ -z "${!name:-}" ] || kept+=("$name=${!name}")
    done
    chroot --userspec=person:person "$root" env -i HOME=/home/person USER=person LANG=C.UTF-8 \
        PATH=/usr/local/bin:/usr/bin:/bin "${kept[@]}" \
        sh -c "cd ~/parakeet-coreml && $1"
}
expect() { # expect CODE TEXT COMMAND: how it ends and what it says, together
    local code=0 said
    said=$(person "$3" 2>&1) || code=$?
    if [ "$code" = "$1" ] && [[ $said = *"$2"* ]]; then
        printf '%s\n' "$said" | tail -n 12
    else
        printf '%s\n' "$said"
        echo "Error: expected exit code $1 and '$2', got $code" >&2
        exit 1
    fi
}

say "a bare $suite"
debootstrap --variant=minbase "$suite" "$root" http://deb.debian.org/debian >/dev/null
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
inside useradd --create-home person
mkdir "$root/home/person/parakeet-coreml"
(cd "$source" && git ls-files -z --cached --others --exclude-standard | tar -c --null -T -) |
    tar -x -C "$root/home/person/parakeet-coreml"
inside chown -R person:person /home/person
inside apt-get update -qq

say "make and a Python alone: one line for what is needed"
install make ca-certificates
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
expect 2 "no python3 is here" "make run"
install python3
expect 2 "sudo apt install python3-venv" "make run"

say "what the README lists"
packages=$(sed -n 's/^sudo apt install \(.*make.*\)$/\1/p' "$source/README.md")
[ -n "$packages" ] || { echo "Error: the README names no packages" >&2 && exit 1; }
# shellcheck disable=SC2086 # words of a list
install $packages
expect 0 '"type":"done"' "make run"
say "the tests, without PulseAudio, Node or a browser"
expect 0 " passed" "make test TESTS='${TESTS:-}'"

say "with PulseAudio and PortAudio"
install libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins
expect 0 '"type":"done"' "make run"
expect 0 " passed" "make test TESTS='${TESTS:-}'"
say "all of it works"
