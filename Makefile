# Two commands are all a newcomer needs: `make run` and `make test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help

HOST ?= 127.0.0.1
PORT ?= 8000
export HOST PORT

VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard chatsite/engine/decoding/native/*.[ch])
# The first Python on this machine that is new enough; `make PYTHON=... run` takes another one.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help run dev setup test chaos lighthouse screenshots check format clean

help: ## Say what there is.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1|\2/' | column -t -s '|'

run: $(VENV)/.run-stamp ## Install what is missing and start the site.
	@$(BIN)/chatsite setup || echo "The site starts without the model and goes on trying to get it." >&2
	@case "$(HOST)" in 127.*|localhost|::1) export CHATSITE_MANAGE_MODELS="$${CHATSITE_MANAGE_MODELS:-1}";; esac; \
		exec $(BIN)/gunicorn wsgi:app

dev: $(VENV)/.dev-stamp ## Start the site with the debugger, reloading code that changes.
	@exec $(BIN)/chatsite dev

setup: $(VENV)/.run-stamp ## Install, and fetch the model, but start nothing.
	@$(BIN)/chatsite setup

# Most tests wait for processes and browsers, so two at a time take little more than half of the time.
TESTERS ?= 2

test: $(VENV)/.dev-stamp ## Run all tests.
	@$(BIN)/python -m pytest -n $(TESTERS)

KILLS ?= 200

chaos: $(VENV)/.dev-stamp ## Kill workers and runner under load 200 times and count what is lost.
	@$(BIN)/python -m tests.chaos --kills $(KILLS)

screenshots: $(VENV)/.dev-stamp ## Take the README's pictures anew, of a site that serves the demo.
	@$(BIN)/python -m tests.pictures

# What judges the pages is no part of the site, so it lies beside what Python installs.
LIGHTHOUSE := $(VENV)/lighthouse

lighthouse: $(VENV)/.dev-stamp $(LIGHTHOUSE)/node_modules/.bin/lighthouse ## Have Lighthouse judge three pages, on a desktop and on a phone.
	@$(BIN)/python -m benchmarks.lighthouse $(LIGHTHOUSE)/node_modules/.bin/lighthouse

$(LIGHTHOUSE)/node_modules/.bin/lighthouse:
	npm install --no-audit --no-fund --prefix $(LIGHTHOUSE) lighthouse@12.8.2

check: $(VENV)/.dev-stamp ## Run what judges code without running it.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --lint templates

format: $(VENV)/.dev-stamp ## Bring the code into shape.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove what was installed; the instance folder with the conversations stays.
	rm -rf $(VENV) *.egg-info

# The stamps remember what was installed, so that a second start asks no package index and works without a network.
$(VENV)/.run-stamp: pyproject.toml constraints.txt $(NATIVE) | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev-stamp: pyproject.toml constraints.txt $(NATIVE) | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.run-stamp

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# Older ones cannot tell how far a download is.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet 'pip>=25.1'
