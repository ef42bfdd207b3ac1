# `make demo` on a fresh clone needs Python 3.11 or newer and a package index that pip can reach; everything else is installed from
# requirements.lock into .venv.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
PEERS = build/peers-venv
PEERS_READY = $(PEERS)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lock bench peers results clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## make .venv and install requirements.lock and tunesmith into it

$(READY): pyproject.toml requirements.lock scripts/setup.sh
	@PYTHON='$(PYTHON)' scripts/setup.sh '$(VENV)'
	@touch $@

demo: setup ## fine-tune the embedded text model on the demo data
	$(BIN)/tunesmith demo

# Waiting threads that spin, and several threads for each of several workers, slow tests down many times on shared cores.
test: setup ## run the tests; more options: make test ARGS="-k lora -n 0"
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/pytest $(ARGS)

check: setup ## format, lint, types, import rules, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: setup ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Pins stay where they are unless asked: make lock ARGS=--upgrade, or ARGS="--upgrade-package torch".
lock: ## write requirements.lock anew from pyproject.toml
	@test -x $(BIN)/uv || { echo "make lock needs $(BIN)/uv: run make setup first"; exit 1; }
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --generate-hashes --quiet \
		--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' \
		--output-file requirements.lock $(ARGS)

bench: setup peers ## run the side-by-side measurements and write docs/benchmarks.md
	$(BIN)/python benchmarks/run_all.py $(ARGS)

peers: $(PEERS_READY) ## make build/peers-venv, which holds what is measured against

$(PEERS_READY): benchmarks/requirements-peers.txt scripts/setup_peers.sh $(READY)
	@scripts/setup_peers.sh '$(VENV)' '$(PEERS)'
	@touch $@

results: setup ## write the table of results
	$(BIN)/python benchmarks/results.py

clean: ## remove .venv, caches and built files
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
