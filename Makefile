# Each target makes .venv and installs what it needs; the stamps in .venv keep it from doing so twice.
# Another Python: make test PYTHON=python3.12.  pip's own settings (PIP_EXTRA_INDEX_URL ...) apply.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SETTINGS := pyproject.toml constraints.txt

.PHONY: help demo test test-oldest lint docs bench release-check clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    run examples/plot_quickstart.py: raw text and pictures, fused and explained"
	@echo "make test    run all tests and the examples in the docstrings"
	@echo "make test-oldest    run them with the oldest versions that pyproject.toml promises"
	@echo "make lint    run ruff, codespell, numpydoc's validation, import-linter and pyright"
	@echo "make docs    build docs/_build/html: guide, reference and examples, all of which are run"
	@echo "make bench   measure skmm compared with other packages: benchmarks/results/peers.md"
	@echo "make release-check    build sdist and wheel, and run the demo from the wheel"
	@echo "make clean   remove .venv and what the tools left behind"

demo: .venv/.installed-demo
	$(BIN)/python examples/plot_quickstart.py

test: .venv/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# TESTS takes the arguments of pytest: make test-oldest TESTS='tests/fusion -m "not slow"'.
test-oldest:
	tools/run_matrix.sh oldest -- $(or $(TESTS),-n 2 --dist loadgroup)

# .pre-commit-config.yaml calls this target too.
lint: .venv/.installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m codespell_lib
	$(BIN)/python tools/validate_docstrings.py
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

docs: .venv/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# BENCH takes the arguments of benchmarks/bench.py.
bench: .venv/.installed-test
	$(BIN)/python benchmarks/bench.py $(BENCH)

release-check:
	PYTHON=$(PYTHON) tools/release_check.sh

clean:
	rm -rf .venv .matrix .pytest_cache .ruff_cache build dist docs/_build docs/auto_examples docs/generated
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.created:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "skmm needs Python 3.11 or newer; '$(PYTHON)' is missing or older:" \
	    "make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed-demo: .venv/.created $(SETTINGS)
	$(INSTALL) -e '.[examples]'
	@touch $@

.venv/.installed-test: .venv/.created $(SETTINGS)
	$(INSTALL) -e '.[test,examples]'
	@touch $@

.venv/.installed-dev: .venv/.created $(SETTINGS)
	$(INSTALL) -e '.[dev]'
	@touch $@

.venv/.installed-docs: .venv/.created $(SETTINGS)
	$(INSTALL) -e '.[docs]'
	@touch $@
