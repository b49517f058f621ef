#!/bin/sh
# Drops virtual environments that no longer work: one survives neither being moved nor the end of its interpreter.
set -eu
cd "$(dirname "$0")/.."

here=$(pwd)
if [ -e .venv ] && [ "$(cat .venv/.where 2>/dev/null)" != "$here" ]; then
    rm -rf .venv build core/build
fi
mkdir -p .venv
echo "$here" >.venv/.where
for venv in .venv/*/; do
    [ ! -d "$venv" ] || "$venv/bin/python" -c '' 2>/dev/null || rm -rf "$venv"
done
