#!/usr/bin/env bash
# Build sdist and wheel of HEAD, and run the demo from the wheel, where there is no repository.
#
#   tools/release_check.sh            PYTHON=python3.12 tools/release_check.sh
#
# The new environment gets the newest versions of what skmm needs, as a stranger's would, not those of
# constraints.txt. It takes as long as installing PyTorch, and some minutes for the demo.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "1. Build from a clone of HEAD, as the tag's archive would be"
git clone --quiet "$repository" "$work/clone"
"$python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet build twine
"$work/tools/bin/python" -m build --outdir "$work/dist" "$work/clone" > "$work/build.log" || {
  cat "$work/build.log" >&2; exit 1; }
"$work/tools/bin/python" -m twine check --strict "$work"/dist/*
rm -rf "$work/clone"

echo "2. Install the wheel in an empty environment"
"$python" -m venv "$work/venv"
wheel=$(ls "$work"/dist/*.whl)
"$work/venv/bin/python" -m pip install --quiet "${wheel}[examples]"

echo "3. Run the demo there"
mkdir "$work/empty"
cd "$work/empty"
unset PYTHONPATH
"$work/venv/bin/python" -c "
import pathlib, skmm, sys
assert pathlib.Path(skmm.__file__).is_relative_to(sys.prefix), skmm.__file__
print('skmm', skmm.__version__)"
"$work/venv/bin/python" -m skmm.demo
[ -s quickstart.png ] || { echo "the demo drew nothing" >&2; exit 1; }

mkdir -p "$repository/dist"
cp "$work"/dist/* "$repository/dist/"
echo "Passed: $(cd "$work/dist" && echo *), copied to dist/"
