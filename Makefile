# Needs git, make, and Python 3.11 or later with venv. Everything else is installed into .venv, at pinned versions.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell $(name) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $(name))))
CHROMIUM := $(shell command -v chromium)
VENV := .venv/bin
# A process for each core, each with servers of its own; the tests of a file stay together, since they share what is slow to start.
# They begin with what takes longest (tests/conftest.py), not with the files of most tests.
PYTEST := $(VENV)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help run test check format lock migration bench fuzz
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: .venv/.installed ## Start everything on this machine, with a sandbox and the live board; Ctrl-C ends it
	@exec $(VENV)/python -m relay run --sandbox

test: .venv/.installed-dev ## Run the whole suite on real parts
ifeq ($(CHROMIUM),)
	@echo "Without the browser's tests, which need Chromium: apt-get install chromium"
	@$(PYTEST) -m "not browser"
else
	@$(PYTEST)
endif

check: .venv/.installed-dev ## Check format, lint and types, then run the suite
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(MAKE) --no-print-directory test

bench: .venv/.installed-dev ## Measure everything beside a naive build; one part alone: make bench-<part>
	@$(VENV)/python -m benchmarks

bench-%: .venv/.installed-dev
	@$(VENV)/python -m benchmarks $*

fuzz: .venv/.installed-dev ## Try the tests of properties with many more examples
	@$(VENV)/python -m pytest -m hypothesis --hypothesis-profile=fuzz

format: .venv/.installed-dev ## Format the code and mend what the linter can
	@$(VENV)/ruff check --fix-only --quiet .
	@$(VENV)/ruff format .

lock: .venv/.installed-dev ## Pin every dependency anew, by hash, from pyproject.toml
	@for group in "" -dev; do \
	  $(VENV)/uv pip compile pyproject.toml $${group:+--group $${group#-}} --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --quiet --output-file requirements$$group.txt > /dev/null || exit; \
	done

migration: .venv/.installed-dev ## Write the next revision of the tables: make migration NAME="Orders know their address"
	@test -n "$(NAME)" || { echo 'Name it: make migration NAME="Orders know their address"'; exit 2; }
	@$(VENV)/python -m relay.store.migrations "$(NAME)"
	@$(VENV)/ruff format --quiet relay/store/migrations

.venv/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name it: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "$(PYTHON) is too old: Python 3.11 or later is needed"; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "venv is needed: apt-get install python3-venv"; exit 2; }
	@touch $@

.venv/.installed: requirements.txt | .venv/.made
	@echo "Installing into .venv; the first time takes a minute or two."
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt requirements.txt | .venv/.made
	@echo "Installing into .venv; the first time takes a minute or two."
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch .venv/.installed $@
