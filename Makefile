# Everything a developer runs, each a thin line over a plain command. Needs python3 (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
# Options for pytest, for example: make test ARGS="-k paging"
ARGS ?=
# What `make test` leaves to `make test-all`.
NEEDS_NOTHING := not slow and not chaos and not consul and not node and not root and not browser and not torch and not ray

.DEFAULT_GOAL := help
.PHONY: help setup setup-model demo demo-model up down test test-fast test-all check fmt gen gen-check bench bench-data bench-models bench-docs consul clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready .tools/pynguin/ready ## Make .venv and .tools/pynguin from the constraints files (does nothing when they are current)

.venv/ready: pyproject.toml constraints.txt tools/setup.sh
	@PYTHON="$(PYTHON)" tools/setup.sh main

setup-model: setup .venv/model ## Add to .venv what trains and serves models, alone or over several machines (torch, ray: large)

.venv/model: .venv/ready
	@PYTHON="$(PYTHON)" tools/setup.sh model

.tools/tritonclient/ready: constraints-tritonclient.txt tools/setup.sh
	@PYTHON="$(PYTHON)" tools/setup.sh tritonclient

.tools/pynguin/ready: constraints-pynguin.txt tools/setup.sh
	@PYTHON="$(PYTHON)" tools/setup.sh pynguin

demo: setup ## Start the stack, generate tests for an installed package, show what was made, stop
	@$(BIN)/automesh demo

demo-model: setup-model .tools/tritonclient/ready ## From a file to predictions: data, two trainings with live curves, gates, a served champion
	@$(BIN)/python docs/examples/sunspots/demo.py

up: setup ## Start the whole stack and stay with it; Ctrl-C stops it
	@$(BIN)/automesh up

down: setup ## Stop the stack that `make up` started in another terminal
	@$(BIN)/automesh down

test: setup ## Run the tests that need nothing but Python (measured; at most 10 minutes)
	@tools/test.sh "$(NEEDS_NOTHING)" $(ARGS)

test-fast: setup ## Run the unit and contract tests that start no database (seconds)
	@$(BIN)/pytest tests/unit tests/contract -m "not postgres and $(NEEDS_NOTHING)" $(ARGS)

test-all: setup-model .tools/tritonclient/ready ## Run what `make test` left out, then report the coverage of both
	@tools/test_all.sh "$(NEEDS_NOTHING)" $(ARGS)

check: setup-model ## Run ruff, mypy, import-linter, buf and gen-check
	@$(BIN)/python tools/check.py

fmt: setup ## Format Python and protos, and mend what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@tools/buf.sh format -w

gen: setup ## Generate libs/gen from proto/automesh, and docs/reference from the settings
	@$(BIN)/python tools/gen.py
	@$(BIN)/python tools/settings_reference.py

gen-check: setup-model ## Show what is stale in libs/gen
	@$(BIN)/python tools/gen.py --check

bench: setup ## Print the benchmarks (figures, never a pass or fail)
	@$(BIN)/python -m bench $(ARGS)

bench-data: setup .tools/bench-data/ready ## Print how fast data is processed beside pandas and DuckDB (minutes; about 10 GB of disk)
	@$(BIN)/python -m bench data

.tools/bench-data/ready: constraints-bench-data.txt
	@$(PYTHON) -m venv .tools/bench-data
	@.tools/bench-data/bin/pip install --quiet --requirement constraints-bench-data.txt
	@touch $@

bench-models: setup-model .tools/bench-models/ready .tools/tritonclient/ready ## Print how fast models train and predict beside PyTorch and Lightning (minutes)
	@$(BIN)/python -m bench models predict

.tools/bench-models/ready: constraints-bench-models.txt
	@$(BIN)/pip install --quiet --upgrade --no-deps --target .tools/bench-models --requirement constraints-bench-models.txt
	@touch $@

bench-docs: setup .tools/bench-docs-peers/ready ## Print how fast documentation is saved, searched, imported and published, beside peers (minutes)
	@$(BIN)/python -m bench docs_save docs_search docs_import docs_site

.tools/bench-docs-peers/ready: constraints-bench-docs.txt
	@$(PYTHON) -m venv .tools/bench-docs-peers
	@.tools/bench-docs-peers/bin/pip install --quiet --requirement constraints-bench-docs.txt
	@touch $@

consul: ## Bring a real Consul to .tools/consul for the tests that want one
	@tools/consul.sh

clean: ## Remove caches and reports; .venv, .tools and .automesh stay
	@rm -rf .coverage_data htmlcov dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +
