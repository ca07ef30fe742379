# The only verbs. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run test check bench docs demo lock clean

help:            ## list the verbs
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Clarion needs Python 3.11 or newer; run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) from requirements/dev.txt; the first time takes a minute or two"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP)    ## start the platform on its embedded engines at http://127.0.0.1:8080
	@exec $(BIN)/clarion serve

test: $(STAMP)   ## all tests
	$(BIN)/python -m pytest -n auto

check: $(STAMP)  ## style, types, import contract, architecture, docs in sync
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture
	$(BIN)/codespell

demo: $(STAMP)   ## the main job on 100,000 people, start to finish, no questions
	@$(BIN)/clarion demo

bench: $(STAMP)  ## install the peers, run every benchmark, write benchmarks/results
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	$(BIN)/python -m benchmarks

docs: $(STAMP)   ## write the generated pages of docs/reference
	$(BIN)/python -m clarion.app.docs

lock: $(STAMP)   ## compile the lock files anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev pyproject.toml -c requirements/run.txt -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra bench pyproject.toml -c requirements/dev.txt -o requirements/bench.txt

clean:           ## remove the virtual environment and caches, never your data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
