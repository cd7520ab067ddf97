#!/usr/bin/env bash
# Sign the frozen folder for Macs, or hand it to Apple for notarisation.
#
#   CODESIGN_IDENTITY="Developer ID Application: Name (TEAM)" build/sign.sh [sign] FOLDER
#   NOTARY_PROFILE=name build/sign.sh notarise FOLDER
#
# Not run on a Mac yet. The identity "-" signs ad hoc, for trying things out on one's own machine.
# Written for macOS's own bash 3.2. The reasons are in docs/SIGNING.md.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# Fixed for ever: Core ML keeps what it compiled under this name.
identifier=parakeet-coreml

fail() {
    echo "Error: $*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# Print every Mach-O file of a folder, those deepest inside first, the program itself last.
mach_o_files() {
    local path magic
    find "$1" -type f | awk -F/ '{ print NF "\t" $0 }' | LC_ALL=C sort -k1,1nr -k2 | cut -f2- |
        while IFS= read -r path; do
            [ "$path" = "$1/$identifier" ] && continue
            magic=$(head -c 4 "$path" | od -An -tx1 | tr -d ' \n')
            case "$magic" in
                cffaedfe | cefaedfe | cafebabe | cafebabf) printf '%s\n' "$path" ;;
            esac
        done
    printf '%s\n' "$1/$identifier"
}

sign() {
    local folder=$1 path files
    local flags=(--force --sign "$CODESIGN_IDENTITY")
    if [ "$CODESIGN_IDENTITY" = - ]; then
        # Nobody's team: with the hardened runtime no library would load.
        flags+=(--timestamp=none)
    else
        flags+=(--options runtime --timestamp)
    fi
    [ -z "$(find "$folder" -name '*.framework')" ] ||
        fail "'$folder' holds a framework: build with an interpreter that has one libpython"
    files=$(mach_o_files "$folder")
    # Never --deep: it skips what is not in a bundle's usual places, and gives its entitlements to all.
    while IFS= read -r path; do
        if [ "$path" = "$folder/$identifier" ]; then
            codesign "${flags[@]}" --identifier "$identifier" \
                --entitlements "$here/entitlements.plist" "$path"
        else
            codesign "${flags[@]}" "$path"
        fi
    done <<<"$files"
    verify "$folder" "$files"
}

# Read back what was signed: the team must be the same everywhere, or macOS will not load a library.
verify() {
    local folder=$1 path about team first=''
    while IFS= read -r path; do
        codesign --verify --strict "$path" || fail "'$path' does not verify"
        about=$(codesign --display --verbose=4 "$path" 2>&1)
        [ "$CODESIGN_IDENTITY" = - ] && continue
        team=$(sed -n 's/^TeamIdentifier=//p' <<<"$about")
        first=${first:-$team}
        case "$team" in
            '' | 'not set') fail "'$path' has no team" ;;
            "$first") ;;
            *) fail "'$path' is of team $team, others are of $first" ;;
        esac
        grep -q '^CodeDirectory .*flags=[^ ]*runtime' <<<"$about" ||
            fail "'$path' lacks the hardened runtime"
        grep -q '^Timestamp=' <<<"$about" || fail "'$path' has no timestamp"
    done <<<"$2"
    about=$(codesign --display --verbose=4 "$folder/$identifier" 2>&1)
    grep -qx "Identifier=$identifier" <<<"$about" || fail "the program's identifier is another"
    about=$(codesign --display --entitlements - --xml "$folder/$identifier" 2>/dev/null)
    [ "$(grep -o '<key>[^<]*' <<<"$about")" = '<key>com.apple.security.device.audio-input' ] ||
        fail "the program has other entitlements than audio input"
    echo "signed and verified: $(wc -l <<<"$2" | tr -d ' ') files in $folder"
}

# Apple looks at a copy. A folder cannot be stapled: an app around it can, see docs/SIGNING.md.
notarise() {
    local archive
    archive=$(mktemp -d)/$identifier.zip
    ditto -c -k --keepParent "$1" "$archive"
    xcrun notarytool submit "$archive" --keychain-profile "$NOTARY_PROFILE" --wait
    rm -r "$(dirname "$archive")"
}

action=sign
case "${1:-}" in
    sign | notarise)
        action=$1
        shift
        ;;
esac
[ $# -eq 1 ] || usage
folder=${1%/}
[ -f "$folder/$identifier" ] || fail "there is no '$folder/$identifier': make app"
case "$action" in
    sign)
        [ -n "${CODESIGN_IDENTITY:-}" ] || usage
        sign "$folder"
        ;;
    notarise)
        [ -n "${NOTARY_PROFILE:-}" ] || usage
        notarise "$folder"
        ;;
esac
