# make app       installs what is missing into .venv and opens the explorer in the browser
# make test      the tests, some minutes; make test-all adds the full grid; make test-learning trains
#                every layer, in some 25 minutes on two cores
#
# PYTHON=python3.12      which Python makes .venv (3.11 to 3.13)
# PORT=8501              the first port to try
# WORKERS=3              test processes side by side; a third of their time they wait
# TORCH_INDEX=...        package index to take torch from, such as one of builds without CUDA

PYTHON ?= python3
PORT ?= 8501
WORKERS ?= 3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
QUIET := $(shell test -t 2 || echo --quiet)
PIP := $(BIN)/python -m pip --disable-pip-version-check install $(QUIET)
KEPT := MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=268435456
PYTEST := PYTHONDONTWRITEBYTECODE= $(KEPT) $(BIN)/python -m pytest -q
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
SOURCES := app.py batch.py pages ttr_core experiments_db tests

.DEFAULT_GOAL := help
.PHONY: help app install test test-all test-grid test-learning measure check format docs site clean

help:
	@echo "make app       open the explorer in the browser (installs into .venv the first time)"
	@echo "make install   only install into .venv, so that .venv/bin/ttr runs"
	@echo "make test      the tests (make test-all adds the full grid, make test-grid is only that)"
	@echo "make test-learning  train every layer on 8 pairs, some 25 minutes, and print what they learn"
	@echo "make measure   what the pages cost in a browser: time, payloads, memory; some minutes"
	@echo "make check     format, lint and types, changing nothing; make format changes"
	@echo "make docs      writes the pages of docs/ that are made from the code"
	@echo "make site      docs/ as a site in site/, whose every link is checked"
	@echo "make clean     removes .venv and caches; your runs in var/ stay"

# --- what is installed; a stamp per set makes the second start instant -------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "This needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Install one of these and name it: make app PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its venv module is missing."; \
	  echo "On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.lock pyproject.toml | $(BIN)/python
ifneq ($(TORCH_INDEX),)
	@echo "Downloading torch from $(TORCH_INDEX)."
	@$(PIP) --index-url "$(TORCH_INDEX)" "$$(grep '^torch==' requirements.lock)"
endif
	@$(BIN)/python -c 'import torch' 2>/dev/null || { \
	  echo "Downloading torch (on Linux with its CUDA libraries: some 3 GB) and the app's packages (0.2 GB)."; \
	  echo "Without a GPU, TORCH_INDEX=... takes a build of 0.2 GB instead: see README.md."; }
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --editable .
	@touch $@
	@echo "Installed: $(BIN)/ttr"

$(VENV)/.tests: $(VENV)/.app tests/requirements.txt
	@echo "Downloading the test tools (0.1 GB)."
	@$(PIP) -c requirements.lock -r tests/requirements.txt
	@touch $@

install: $(VENV)/.app

# --- the app -----------------------------------------------------------------------------------

app: $(VENV)/.app
	@exec $(BIN)/ttr app --port $(PORT)

# --- tests and checks --------------------------------------------------------------------------
# What is compiled is kept, whatever the shell says: else each worker and each process that a test
# starts compiles the tests and the project again, a third of what collecting takes. And freed memory
# is kept for the next tensor, as by the workers of runs (experiments_db/run/process.py).

test: $(VENV)/.tests
	@$(PYTEST) $(PARALLEL)

test-all: $(VENV)/.tests
	@$(PYTEST) $(PARALLEL) --full-grid

test-grid: $(VENV)/.tests
	@$(PYTEST) $(PARALLEL) --full-grid -m "slow or full_grid"

test-learning: $(VENV)/.tests
	@$(PYTEST) -n 2 --dist load --learning -m learning tests/learning

measure: $(VENV)/.tests
	@$(BIN)/python -m tests.app.measure

check: $(VENV)/.tests
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy

format: $(VENV)/.tests
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

docs: $(VENV)/.app
	@$(BIN)/python -m ttr_core.tools.equals --write
	@$(BIN)/python -m ttr_core.tools.tunings --write
	@$(BIN)/python -m ttr_core.tools.documents --write

# --- the site of docs/ -------------------------------------------------------------------------

$(VENV)/.site: .ci/site-requirements.txt | $(BIN)/python
	@$(PIP) -r .ci/site-requirements.txt
	@touch $@

site: $(VENV)/.site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict && echo "Written: site/index.html"

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +
