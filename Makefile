# One command each; `make help` lists them. Everything that they make lies in .venv, models, data and out.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
MODEL := models/yolov3-tiny/1/model.json
TOOLS := build/tools/.installed
FOREIGN := build/foreign/.installed
IMAGES := api worker worker-gpu zoo
IMAGE ?=
ARGS ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/local $(MODEL) ## detect once in the sample picture, or in IMAGE=my.jpg
	@$(BIN)/spotter demo $(if $(IMAGE),"$(IMAGE)") $(ARGS)

# Under a terminal the stack gets a process group of its own: Ctrl-C is then for the stack alone, and make ends with the
# stack's exit code (0) and not as interrupted.
.PHONY: up
up: $(VENV)/local $(MODEL) ## the whole service on http://127.0.0.1:8000, until Ctrl-C
	@[ ! -t 0 ] || set -m; $(BIN)/spotter up $(ARGS); exit $$?

.PHONY: test
test: $(VENV)/dev ## ruff, mypy and all tests
	@test -e $(MODEL) || $(BIN)/spotter models pull yolov3-tiny \
		|| echo "No model could be brought: the tests that need one are skipped."
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(ARGS)

.PHONY: foreign
foreign: $(FOREIGN) ## install other systems' clients: with them the tests of formats and adapters are whole

.PHONY: bench
bench: $(VENV)/local $(MODEL) ## measure and write docs/benchmarks.md (15 minutes; ARGS=--quick: 3)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: faults
faults: $(VENV)/local ## kill, freeze and restart under load, write docs/reliability.md (an hour; ARGS=--short: 5 minutes)
	@$(BIN)/python -m bench.faults $(ARGS)

.PHONY: audit
audit: $(TOOLS) ## look the locked packages up in the lists of known vulnerabilities
	@$(BIN)/python deploy/audit.py build/tools/bin/pip-audit requirements/dev.txt requirements/worker-gpu.txt requirements/tools.txt

.PHONY: sbom
sbom: $(TOOLS) ## what each image holds, as CycloneDX, into out/sbom
	@mkdir -p out/sbom
	@$(foreach side,$(IMAGES),PYTHONWARNINGS=ignore build/tools/bin/cyclonedx-py requirements requirements/$(side).txt --pyproject pyproject.toml \
		--mc-type application --output-reproducible --output-format JSON --output-file out/sbom/$(side).cdx.json &&) true
	@ls out/sbom/*.json

.PHONY: clean
clean: ## remove what make made, but not models and data
	rm -rf $(VENV) out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment: dev holds all of local in the same versions, so either may come first ---------------------------

$(VENV)/local: requirements/local.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the local stack needs into $(VENV); the first time this takes a minute or two."
	@$(call install,local)
	@touch $@

$(VENV)/dev: requirements/dev.txt requirements/local.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the tests need into $(VENV); the first time this takes a minute or two."
	@$(call install,dev)
	@touch $@ $(VENV)/local

define install
$(PIP) install --quiet --require-hashes -r requirements/$(1).txt && \
$(PIP) install --quiet --no-deps --no-build-isolation -e .
endef

$(BIN)/python:
	@for python in python3 python3.13 python3.12 python3.11; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		$$python -c 'import ensurepip' 2>/dev/null \
			|| { echo "$$python cannot make virtual environments: install its package venv (Debian: python3-venv)." >&2; exit 1; }; \
		exec $$python -m venv $(VENV); \
	done; echo "Spotter needs Python 3.11 or later, and none of python3, python3.13, python3.12, python3.11 is." >&2; exit 1

$(MODEL): | $(VENV)/local
	@$(BIN)/spotter models pull yolov3-tiny

$(TOOLS): requirements/tools.txt | $(BIN)/python
	@$(BIN)/python -m venv build/tools
	@build/tools/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	@touch $@

$(FOREIGN): requirements/foreign.txt | $(BIN)/python
	@$(BIN)/python -m venv build/foreign
	@build/foreign/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/foreign.txt
	@touch $@

# -- for developers: the locked versions ------------------------------------------------------------------------------
# Versions that are locked stay (make lock ARGS=--upgrade for new ones), and all files agree with dev.txt.

UV := build/lock/bin/uv
EXACT := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links
COMPILE := $(UV) pip compile pyproject.toml $(EXACT)
SIDES := api worker worker-gpu zoo local
EXTRAS_api := --extra api
EXTRAS_worker := --extra worker --extra auto
EXTRAS_worker-gpu := --extra worker --extra gpu
EXTRAS_zoo := --extra zoo --extra cli
EXTRAS_local := --extra local

.PHONY: lock
lock: | $(UV) ## choose the versions of requirements/*.txt anew from pyproject.toml
	$(COMPILE) --extra dev $(ARGS) -o requirements/dev.txt
	$(foreach side,$(SIDES),$(COMPILE) $(EXTRAS_$(side)) $(ARGS) -c requirements/dev.txt -o requirements/$(side).txt &&) true
	$(foreach apart,tools foreign,$(UV) pip compile requirements/$(apart).in $(EXACT) $(ARGS) -o requirements/$(apart).txt &&) true

$(UV): | $(BIN)/python
	$(BIN)/python -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check uv
