# Dragoman's verbs. `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
export CARGO_TERM_PROGRESS_WHEN ?= auto

.DEFAULT_GOAL := help
.PHONY: help serve test check docs bench prove wheel setup setup-dev clean

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

setup:
	@$(PYTHON) tools/setup.py --lock serve

setup-dev:
	@$(PYTHON) tools/setup.py --lock dev

serve: setup     ## set up, build and run Dragoman on this machine (ARGS="--help" for more)
	@$(BIN)/dragoman serve $(ARGS)

test: setup-dev  ## set up, build and run every test (the long ones at a small share of their counts)
	@$(BIN)/python tools/run_tests.py

check: setup-dev ## the gates: style, types, sizes, imports, licences, secrets, docs
	@$(BIN)/python tools/check.py

docs:            ## these documents as a site to read offline, in build/docs
	@$(PYTHON) tools/build_docs.py

prove: setup-dev ## the full counts behind the promises; resumable; writes build/prove.json
	@$(BIN)/python tools/prove.py $(ARGS)

bench: setup-dev ## measure against the floor and the peers; writes bench/results/
	@$(BIN)/python bench/run.py $(ARGS)

wheel: setup-dev ## one wheel with the relay inside, in dist/
	@$(BIN)/maturin build --profile native --locked --out dist
	@ls -1 dist/*.whl

clean:           ## remove what was built, keep data
	rm -rf build dist target .venv src/dragoman/_native*.so
