# Everything a newcomer or CI types. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help setup policy demo test unit check format bench docs up report clean

PYTHON ?= python3
STACK ?= dev
BOOTSTRAP := .bootstrap
UV := $(BOOTSTRAP)/bin/uv
RUN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
# Modules are compiled once, not at every start: that is half the time of a warm `make demo`.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: .venv/.synced ## make .venv from uv.lock (the other commands do it when it is needed)

$(UV):
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"parley needs Python 3.11 to 3.13, but {sys.executable} is {v[0]}.{v[1]}: run `make PYTHON=/path/to/python3.12 ...`")'
	@echo "setting up: uv (once)"
	@$(PYTHON) -m venv $(BOOTSTRAP)
	@$(BOOTSTRAP)/bin/pip install --quiet --disable-pip-version-check uv

.venv/.synced: pyproject.toml uv.lock | $(UV)
	@echo "setting up: packages of uv.lock"
	@$(UV) sync --frozen --quiet --python $(BOOTSTRAP)/bin/python
	@touch $@

policy: policy/.venv/.synced ## make the environment of the policy pack from policy/uv.lock

policy/.venv/.synced: policy/pyproject.toml policy/uv.lock | $(UV)
	@echo "setting up: packages of the policy pack"
	@$(UV) sync --project policy --frozen --quiet --python $(BOOTSTRAP)/bin/python
	@touch $@

demo: setup ## deploy the kit on this machine and drive real conversations through it (KEEP=1 leaves it up, MASKING=direct goes without Proxy)
	@$(RUN)/parley demo $(if $(KEEP),--keep) $(if $(MASKING),--masking $(MASKING))

test: setup policy ## every test: unit, infra, handlers, local cloud, real engine
	@$(RUN)/parley engine
	@$(RUN)/python -m pytest tests/unit --quick --numprocesses=2 --cov --cov-fail-under=100
	@$(RUN)/python -m pytest --numprocesses=3 --no-loadscope-reorder

unit: setup ## the unit tests in seconds: few examples of each property, nothing that takes long
	@$(RUN)/python -m pytest tests/unit --quick --numprocesses=2 --durations=5

check: setup ## format, lint, types
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	@$(RUN)/mypy

format: setup ## put the code in form
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix-only .

bench: setup ## ratios against peers and floors, measured in one run
	@$(RUN)/python -m tests.bench

docs: setup ## write the pages that are made from the program
	@$(RUN)/python -m cli.configuration
	@$(RUN)/python -m cli.notices
	@$(RUN)/python -m policy.page
	@$(RUN)/python -m cli.requirements
	@$(RUN)/python -m tests.faults

up: setup ## deploy a stack: make up STACK=dev
	@$(RUN)/parley pulumi up --stack $(STACK)

report: setup ## the reviewer's report of the local stack
	@$(RUN)/parley report

clean: ## stop the local stack and remove what was built here (the engine's cache stays)
	@if [ -x $(RUN)/parley ]; then $(RUN)/parley local down --destroy || true; fi
	rm -rf .parley .venv policy/.venv $(BOOTSTRAP) .mypy_cache .ruff_cache .pytest_cache .coverage
