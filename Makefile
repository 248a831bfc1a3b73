# Two commands do everything on a fresh machine: `make run` and `make test`.
# Nothing is needed beforehand but Python 3.11 or later, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The folder with BUSI and BUS-BRA as they are published, for `make train` and `make evaluate`.
DATA ?=
# Processes that share the tests out by files, the long ones of tests/acceptance first, each with up to 3 GB
# of memory; auto: one a core.
WORKERS ?= 1
# More arguments for pip when it installs torch, such as the index of PyTorch's CPU builds.
TORCH_ARGS ?=

.PHONY: help setup run test lint types bench format debian viewer docs train evaluate data clean

help:
	@echo "make run       the demo: a study in by C-STORE, SEG and SR out, a page to look at"
	@echo "make test      all tests (as root it installs the Debian packages they need);"
	@echo "               WORKERS=2 or auto runs them in several processes"
	@echo "make lint      ruff;  make types  mypy;  make format  let ruff mend what it can"
	@echo "make bench     seconds a stage and a study; ratios against peers"
	@echo "make docs      regenerate the settings example and table"
	@echo "make train     train the network again;  make evaluate  score it (DATA=folder)"

setup: $(VENV)/.installed

# torch first, by its exact version: any other request may bring gigabytes of CUDA.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_ARGS) "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: setup
	$(BIN)/cad-node demo --once --output cad-node-demo --port 0

test: setup debian viewer
	$(BIN)/python -m pytest $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks

docs: setup
	$(BIN)/python -m deploy.generate

train: data setup
	$(BIN)/cad-node train --data $(DATA) --folds 1,2,3,4,5 --export breast-us

evaluate: data setup
	$(BIN)/cad-node evaluate --data $(DATA) --model breast-us-without-5 --fold 5

data:
	@test -n "$(DATA)" || { echo "Name the folder with the data sets: make train DATA=/path/to/data"; exit 2; }

debian:
	@sh tests/install_debian_packages.sh

# The OHIF viewer, for the tests that look at results as a radiologist does.
viewer:
	@sh tests/install_ohif.sh || echo "OHIF could not be fetched with npm; the viewer tests are skipped."

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
