# One command each. Everything is installed into .venv from requirements.lock; nothing else of the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-cluster cluster-up cluster-down check format bench chaos replay lock generate clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## A simulated pump station, from its manifests to an explained alert (options: ARGS="--stop-after 90s")
	@exec $(BIN)/wheeltapper demo $(ARGS)

test: $(INSTALLED) ## Every test (options: ARGS="-k alert")
	$(BIN)/python -m pytest $(ARGS)

test-cluster: $(INSTALLED) ## The tests that need a Kubernetes cluster, alone (options: ARGS="-k mistake")
	$(BIN)/python -m pytest -m cluster $(ARGS)

cluster-up: $(INSTALLED) ## A real Kubernetes on this machine (Linux, as root), which the tests then use
	$(BIN)/python -m tests.cluster up

cluster-down: $(INSTALLED) ## End it, with all that belongs to it
	$(BIN)/python -m tests.cluster down

check: $(INSTALLED) ## Format, lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m wheeltapper_api.generate --check
	$(BIN)/python -m wheeltapper_workers.runtime.metrics_page --check

format: $(INSTALLED) ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## The benchmarks, one JSON line each, and docs/performance.md (options: ARGS="features onnx --quick")
	$(BIN)/python -m tests.bench $(ARGS)
	$(BIN)/python -m tests.bench report

chaos: $(INSTALLED) ## Kill and stop the line at random, 200 times; it has to be exact (options: SEED=7 ARGS="--kills 20 --runs 1")
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) $(ARGS)

replay: $(INSTALLED) ## An hour of failing machines, each alert replayed before and after its files are merged (options: SEED=3)
	$(BIN)/python -m tests.replay --seed $(or $(SEED),1)

generate: $(INSTALLED) ## Write anew what is made from the code: CRDs, schemas, pages of kinds, library and metrics
	$(BIN)/python -m wheeltapper_api.generate
	$(BIN)/python -m wheeltapper_workers.runtime.metrics_page

lock: $(INSTALLED) ## Resolve the dependencies anew into requirements.lock
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra dev pyproject.toml -o requirements.lock --upgrade

clean: ## Remove the virtual environment and the demo's state
	rm -rf $(VENV) .wheeltapper

# The lock holds a hash for every file, so what is installed is what was tested.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
