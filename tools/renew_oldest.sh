#!/usr/bin/env bash
# Write constraints-oldest.txt anew from the floors in pyproject.toml. It needs uv and a network.
set -euo pipefail
cd "$(dirname "$0")/.."
{
  sed -n '/^#/p' constraints-oldest.txt
  uv pip compile --quiet --resolution lowest-direct --python-version 3.11 --extra test \
    --no-annotate --no-header pyproject.toml | grep -v -E '^(nvidia-|triton=)'
} > constraints-oldest.new
mv constraints-oldest.new constraints-oldest.txt
