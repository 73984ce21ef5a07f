# make music: real music with nothing but packages.   make test: everything CI runs.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROMPT ?= lofi hip hop, chill, mellow piano, vinyl crackle
SECONDS ?= 60
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# An index for torch builds other than pip's own: LOFI_TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Our processes are many and short: each would compile all of us again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help music dev check test soak bench clean

help:
	@echo "make music [PROMPT=…] [SECONDS=…]   set up, make a track, play it"
	@echo "make test                           set up the rest and run everything CI runs"
	@echo "make check                          lint, types, fast tests: before every commit"
	@echo "make soak                           the long counts"
	@echo "make bench                          the figures of the README"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@# Of thousands of modules a few are ever read: Python compiles those then.
	$(if $(LOFI_TORCH_INDEX),$(PIP) --no-compile --index-url $(LOFI_TORCH_INDEX) torch)
	$(PIP) --no-compile -e '.[neural,lyrics,dev]'
	@touch $(VENV)/.base $@

music: $(VENV)/.base
	@$(BIN)/lofi generate "$(PROMPT)" --duration $(SECONDS) --play --guide

dev: $(VENV)/.dev

check: dev
	@.ci/check

test: dev
	@.ci/test

soak: dev
	@.ci/soak

bench: dev
	@$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build .nvim .mypy_cache .ruff_cache .pytest_cache
