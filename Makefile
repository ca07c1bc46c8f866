# Each target does its own set-up, once: `make demo` and `make test` are all that a fresh checkout needs.
# Needs Python 3.10 or newer as `python3` (or PYTHON=...), and a package registry the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test soak lint clean

# The main job: baseline `demo` against two changes, three seeds each, on the standard library's source, to a verdict table.
demo: $(VENV)/installed
	$(BIN)/python run.py --multirun baseline=demo trainer.optimizer.lr=1e-3,3e-4 model/norm=layernorm,rmsnorm

test: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest

# The tests that take minutes each, one after the other, with their figures shown.
soak: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest -m soak -n 0 -s

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The virtual environment and caches; never runs/ or multirun/, which hold your results.
clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV): about a minute"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-for-tests: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV) with the test tools: about a minute"
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/installed
