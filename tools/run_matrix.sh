#!/usr/bin/env bash
# Run the tests in an environment of their own for each combination of versions:
#
#   tools/run_matrix.sh oldest newest                  all tests, with both files of constraints
#   tools/run_matrix.sh oldest -- tests/fusion -x      some of them
#   tools/run_matrix.sh python3.13                     another Python, the newest of every package
#   tools/run_matrix.sh core                           without extras, tests/test_core.py
#
# Environments stay in .matrix/, made by uv where it is installed and else by pip.
set -euo pipefail
cd "$(dirname "$0")/.."

combinations=()
while [ $# -gt 0 ] && [ "$1" != "--" ]; do combinations+=("$1"); shift; done
[ "${1:-}" = "--" ] && shift
[ ${#combinations[@]} -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }

make_environment() { # python, arguments of pip install
  local python=$1 environment=.matrix/$combination
  shift
  if command -v uv > /dev/null; then
    uv venv --quiet --clear --python "$python" "$environment"
    uv pip install --quiet --python "$environment" "$@"
  else
    "$python" -m venv --clear "$environment"
    "$environment/bin/python" -m pip install --quiet "$@"
  fi
}

status=0
for combination in "${combinations[@]}"; do
  arguments=("$@")
  case $combination in
    oldest)
      make_environment python3.11 -c constraints-oldest.txt -e '.[test]'
      # Old versions use what newer versions of others deprecate.
      arguments+=(-W default::DeprecationWarning -W default::FutureWarning) ;;
    newest) make_environment python3.11 -c constraints.txt -e '.[test,examples]' ;;
    core)
      make_environment "${PYTHON:-python3}" pytest -e .
      [ ${#arguments[@]} -gt 0 ] || arguments=(tests/test_core.py) ;;
    *) make_environment "$combination" -e '.[test,examples]' ;;
  esac
  echo "== $combination"
  ".matrix/$combination/bin/python" -m pytest "${arguments[@]}" || status=1
done
exit $status
