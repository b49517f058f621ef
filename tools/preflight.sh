#!/bin/sh
# Says in one sentence what the machine lacks to build blockpool, or which interpreters to use.
#
#   tools/preflight.sh versions [X.Y..]  every usable interpreter, a line each: X.Y PATCH PATH
#                                        (asked for none: 3.11 to 3.15, and 3.13t and 3.14t, free-threaded builds)
#   tools/preflight.sh first [X.Y..]     the X.Y of the first of them
#   tools/preflight.sh path X.Y          the path of that one
#
# "versions" and "first" look for a C compiler as well. Interpreters are looked for on PATH, under ~/.pyenv, and where
# tools/interpreters.sh puts them.
# Shell, not Python: it must be able to say that Python is missing.
set -u

known="3.11 3.12 3.13 3.14 3.15 3.13t 3.14t"

fail() {
    echo "blockpool: $1" >&2
    exit 1
}

check_compiler() {
    for cc in "${CC:-}" cc gcc clang; do
        [ -n "$cc" ] || continue
        # $cc unquoted: CC may be "ccache gcc"
        if command -v ${cc%% *} >/dev/null 2>&1; then
            if echo '#include <stdatomic.h>
#include <stdio.h>
int main(void) { return 0; }' | $cc -std=c11 -x c -o /dev/null - 2>/dev/null; then
                return 0
            fi
            fail "the C compiler '$cc' cannot compile a C11 program; install one with its C library's headers (Debian: apt-get install build-essential), or set CC."
        fi
        [ -z "${CC:-}" ] || fail "CC is '$CC', and there is no such C compiler; unset CC or set it to one that exists."
    done
    fail "a C compiler is missing: install gcc or clang (Debian: apt-get install build-essential), or set CC."
}

# Prints: X.Y PATCH PATH STATE, where STATE is ok or what is missing.
probe='
import os, sys, sysconfig
missing = []
try:
    import ensurepip, venv
except ImportError:
    missing.append("venv")
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    missing.append("headers")
threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
path = getattr(sys, "_base_executable", sys.executable)
print("%d.%d%s %d %s %s" % (sys.version_info[:2] + (threads, sys.version_info[2], path, "+".join(missing) or "ok")))
'

brought=${BLOCKPOOL_INTERPRETERS:-${XDG_CACHE_HOME:-$HOME/.cache}/blockpool/interpreters}

# Every interpreter called $1 in those places, probed; a name that does not run is none.
candidates() {
    {
        old_ifs=$IFS
        IFS=:
        for dir in $PATH; do
            echo "${dir:-.}/$1"
        done
        IFS=$old_ifs
        if [ "$1" != python3 ]; then
            for file in "$HOME"/.pyenv/versions/"${1#python}".*/bin/"$1" \
                "$brought"/"${1#python}"/bin/"$1" "$brought"/"${1#python}"/usr/bin/"$1"; do
                echo "$file"
            done
        fi
    } | while read -r file; do
        [ -x "$file" ] && "$file" -c "$probe" 2>/dev/null </dev/null
    done | sort -u
}

# The best line of candidates for X.Y: a usable one if there is any, then the newest patch.
best() {
    list=$({ candidates "python$1"; candidates python3; } | grep "^$1 " | sort -u)
    usable=$(echo "$list" | grep ' ok$' | sort -k2,2nr | head -n 1)
    if [ -n "$usable" ]; then
        echo "$usable"
    else
        echo "$list" | sort -k2,2nr | head -n 1
    fi
}

explain() { # version path state
    case $3 in
    *venv*) echo "$2 ($1) has no venv module (Debian: apt-get install python$1-venv)" ;;
    *) echo "$2 ($1) has no Python.h headers (Debian: apt-get install python$1-dev)" ;;
    esac
}

# Lines "X.Y PATCH PATH"; with $1 = first the search ends at the first, and absent ones are no news.
print_versions() {
    mode=$1
    shift
    asked=$*
    found= absent= reasons=
    for version in ${asked:-$known}; do
        case " $known " in
        *" $version "*) ;;
        *) fail "'$version' was asked for, and Pythons that blockpool is tested with are: $known." ;;
        esac
        line=$(best "$version")
        case $line in
        '') absent="$absent $version" ;;
        *' ok')
            found="$found${line% ok}
"
            [ "$mode" = all ] || break
            ;;
        *)
            # shellcheck disable=SC2086
            set -- $line
            reasons="${reasons:+$reasons; }$(explain "$1" "$3" "$4")"
            ;;
        esac
    done
    if [ -z "$found" ]; then
        [ -z "$reasons" ] || fail "no usable Python: $reasons."
        [ -z "$asked" ] || fail "Python $asked was asked for, and not found on PATH, under ~/.pyenv/versions or $brought."
        fail "Python is missing: none of $known found on PATH, under ~/.pyenv/versions or $brought."
    fi
    if [ "$mode" = all ]; then
        [ -z "$absent" ] || echo "blockpool: not found, not tested: Python$absent" >&2
        [ -z "$reasons" ] || echo "blockpool: not tested: $reasons" >&2
    fi
    printf '%s\n' "$found" | grep .
}

mode=${1:-}
[ $# -eq 0 ] || shift
case $mode in
versions)
    check_compiler
    print_versions all "$@"
    ;;
first)
    check_compiler
    lines=$(print_versions first "$@") || exit 1
    echo "${lines%% *}"
    ;;
path)
    lines=$(print_versions first "$@") || exit 1
    echo "$lines" | cut -d' ' -f3-
    ;;
*) fail "usage: preflight.sh versions [X.Y..] | first [X.Y..] | path X.Y" ;;
esac
