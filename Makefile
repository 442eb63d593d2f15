# `make help` lists the targets. Needs git, make and Python 3.11+ with venv.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=

# A changed requirement, interpreter or place of the checkout makes a new stamp.
KEY := $(shell { cat requirements/*.txt; $(PYTHON) --version; pwd; } 2>&1 | cksum | cut -d' ' -f1)
BASE := $(VENV)/.base-$(KEY)
DEV := $(VENV)/.dev-$(KEY)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(BASE) ## Start everything on a sample company (ARGS=--empty for none)
	@exec $(PY) manage.py up $(ARGS)

# A file stays on one worker for the sake of its module fixtures, and the files keep
# their order: those with a browser come last.
DIST := -n logical --maxprocesses=4 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: $(DEV) ## Run the fast tests (ARGS for pytest)
	@$(PY) -m pytest $(DIST) $(ARGS)

.PHONY: test-slow
test-slow: $(DEV) ## Run the slow tests: crashes, large inputs, more examples
	@$(PY) -m pytest -m slow $(ARGS)

.PHONY: bench
bench: $(DEV) ## Measure speed beside baselines (ARGS=--quick, or a name)
	@$(PY) -m tests.bench $(ARGS)

.PHONY: lint
lint: $(DEV) ## Check style, format, types and import directions
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy churnguard integrations analytics monitoring
	@$(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint()'

.PHONY: fmt
fmt: $(DEV) ## Format the code and fix what can be fixed
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

.PHONY: setup
setup: $(DEV) ## Install everything for development

.PHONY: clean
clean: ## Remove the virtual environment (data in .churnguard stay)
	@rm -rf $(VENV)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ChurnGuard needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing (Debian: apt install python3-venv)."; exit 1; }

$(BASE): | $(PY)
	@$(PY) -c '' 2>/dev/null || { rm -rf $(VENV); $(MAKE) --no-print-directory $(PY); }
	@echo "Installing requirements/base.txt (about a minute)"
	@$(PY) -m pip install --disable-pip-version-check -r requirements/base.txt
	@rm -f $(VENV)/.base-* && touch $@

$(DEV): $(BASE)
	@echo "Installing requirements/dev.txt"
	@$(PY) -m pip install --disable-pip-version-check -r requirements/dev.txt
	@rm -f $(VENV)/.dev-* && touch $@
