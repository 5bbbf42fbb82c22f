# Two commands are all a newcomer needs: `make run` and `make test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help

HOST ?= 127.0.0.1
PORT ?= 8000
export HOST PORT

VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard chatsite/engine/inference/native/*.[ch])
# The first Python on this machine that is new enough; `make PYTHON=... run` takes another one.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help run dev setup test test-fast test-slow sanitize chaos soak lighthouse screenshots check lint typecheck format
.PHONY: coverage docs translations migration db-reset lock release clean

help: ## List the commands.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1|\2/' | column -t -s '|'

run: $(VENV)/.run-stamp ## Install what is missing and start the site.
	@$(BIN)/chatsite setup || echo "Starting without the model; the site keeps trying to download it." >&2
	@case "$(HOST)" in 127.*|localhost|::1) export CHATSITE_ALLOW_MODEL_MANAGEMENT="$${CHATSITE_ALLOW_MODEL_MANAGEMENT:-local}";; esac; \
		exec $(BIN)/gunicorn wsgi:app

dev: $(VENV)/.dev-stamp ## Start the site with the debugger; reloads when code changes.
	@exec $(BIN)/chatsite dev

setup: $(VENV)/.run-stamp ## Install and download the model, without starting the site.
	@$(BIN)/chatsite setup

# Most tests wait for processes and browsers, so two cores have enough to do with three at a time. Threads of torch must
# not spin while they wait for each other, or those of one process take the time of the others.
TESTERS ?= 3

PYTEST = OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(TESTERS) --dist worksteal

test: $(VENV)/.dev-stamp ## Run all tests.
	@$(PYTEST) $(PYTEST_OPTIONS)

FAST_TESTS := $(addprefix tests/,rendering static core chat organize models personas search sharing transfer site) \
	$(patsubst %,--ignore tests/%.py,$(addprefix core/test_,install release child_process database_file postgresql_timeouts \
	private_files) static/test_documentation)

test-fast: $(VENV)/.dev-stamp ## Run the tests of rules, pages, texts and files: no browser, no runner, no model.
	@$(PYTEST) -m "not slow and not exhaustive" $(FAST_TESTS) $(PYTEST_OPTIONS)

test-slow: $(VENV)/.dev-stamp ## Run what `make test` does in small at full length.
	@$(PYTEST) -m "slow or exhaustive" $(PYTEST_OPTIONS)

sanitize: $(VENV)/.dev-stamp ## Run the tests of the compiled kernels with the sanitizers of GCC.
	@$(BIN)/python -m scripts.sanitize

STRIKES ?= 300

chaos: $(VENV)/.dev-stamp ## Kill, freeze and restart a site under load 300 times on each database, and count what is lost or wrong.
	@$(BIN)/python -m tests.chaos --strikes $(STRIKES)
	@$(BIN)/python -m tests.chaos --strikes $(STRIKES) --postgres

SOAK_MINUTES ?= 120

soak: $(VENV)/.dev-stamp ## Load the site for two hours and see whether its memory grows.
	@$(BIN)/python -m benchmarks.soak --minutes $(SOAK_MINUTES)

screenshots: $(VENV)/.dev-stamp ## Take the screenshots and the film of the README again, from the demo.
	@$(BIN)/python -m tests.support.screenshots

# What judges the pages is no part of the site, so it lies beside what Python installs.
LIGHTHOUSE := $(VENV)/lighthouse

lighthouse: $(VENV)/.dev-stamp $(LIGHTHOUSE)/node_modules/.bin/lighthouse ## Check three pages with Lighthouse, on a desktop and on a phone.
	@$(BIN)/python -m benchmarks.lighthouse $(LIGHTHOUSE)/node_modules/.bin/lighthouse

$(LIGHTHOUSE)/node_modules/.bin/lighthouse:
	npm install --no-audit --no-fund --prefix $(LIGHTHOUSE) lighthouse@12.8.2

check: lint typecheck ## Run the linters and the type checker.

lint: $(VENV)/.dev-stamp ## Check style, spelling, dead code, imports and templates.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/vulture
	$(BIN)/lint-imports
	$(BIN)/djlint --lint templates

typecheck: $(VENV)/.dev-stamp ## Types.
	$(BIN)/mypy

format: $(VENV)/.dev-stamp ## Bring the code into shape.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Web workers, runners and commands are processes of their own; coverage follows them. What is counted runs more slowly, so
# that a test of speed may fail: the list is made all the same.
coverage: $(VENV)/.dev-stamp ## Run all tests and list the lines that none of them reaches.
	@$(BIN)/coverage erase
	-@$(BIN)/coverage run -m pytest -n $(TESTERS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

docs: $(VENV)/.dev-stamp ## Build the documentation site in build/docs; a link that leads nowhere is an error.
	@$(BIN)/mkdocs build --strict

CATALOG := chatsite/translations

translations: $(VENV)/.dev-stamp ## Collect texts from code and templates, and compile the translations.
	@mkdir -p build
	@$(BIN)/pybabel --quiet extract --mapping babel.cfg --keyword gettext_noop --no-location --sort-output --output build/messages.pot .
	@$(BIN)/pybabel --quiet update --input-file build/messages.pot --output-dir $(CATALOG) --no-fuzzy-matching --ignore-obsolete
	@$(BIN)/pybabel compile --directory $(CATALOG)

INSTANCE := $(or $(CHATSITE_INSTANCE),instance)

migration: $(VENV)/.dev-stamp ## Write a migration for what changed in the tables: NAME="messages add stars".
	@$(BIN)/flask --app chatsite.cli.migrations:create_migrating_app db migrate -m "$(NAME)"

db-reset: $(VENV)/.dev-stamp ## Put the SQLite database aside, with the site stopped, and begin with an empty one.
	@test -z "$$CHATSITE_DATABASE_URL" || { echo "This is for SQLite; CHATSITE_DATABASE_URL is set." >&2; exit 1; }
	@aside="$(INSTANCE)/before-reset/$$(date +%Y-%m-%dT%H%M%S)"; \
		for file in "$(INSTANCE)"/chatsite.db{,-wal,-shm}; do \
			if [ -e "$$file" ]; then mkdir -p "$$aside" && mv -v "$$file" "$$aside/"; fi; done
	@$(BIN)/chatsite migrate --new

release: $(VENV)/.dev-stamp ## Commit and tag a version: VERSION=0.2.0; DRY_RUN=1 only says what it would do.
	@$(BIN)/python -m scripts.release $(VERSION) $(if $(DRY_RUN),--dry-run)

UV := 0.13.9

lock: $(VENV)/bin/python ## Write the lock files anew from pyproject.toml; UPGRADE=--upgrade takes newer versions of the rest.
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet uv==$(UV)
	@$(LOCK) pyproject.toml --output-file requirements.lock
	@$(LOCK) pyproject.toml --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	@$(LOCK) --group build --output-file requirements-build.lock

# The addresses of an index never stand in a lock file, so a mirror can be used by whoever has one.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-package torch \
	--no-annotate --no-header --no-emit-index-url $(UPGRADE)

clean: ## Remove what was installed; the instance folder with the conversations stays.
	rm -rf $(VENV) *.egg-info

# The stamps remember what was installed, so that a second start asks no package index and works without a network.
# TORCH=cpu or TORCH=cuda decides which build of torch is installed; scripts/install.py finds out otherwise.
export TORCH
ifneq ($(TORCH),$(shell cat $(VENV)/.torch-wish 2>/dev/null))
ifneq ($(TORCH),)
INSTALL_AGAIN := install-again
endif
endif
INSTALLED_FROM := pyproject.toml requirements.lock requirements-dev.lock requirements-build.lock scripts/install.py $(NATIVE)

$(VENV)/.run-stamp: $(INSTALLED_FROM) $(INSTALL_AGAIN) | $(VENV)/bin/python
	$(BIN)/python scripts/install.py
	@echo "$$TORCH" > $(VENV)/.torch-wish
	@touch $@

$(VENV)/.dev-stamp: $(INSTALLED_FROM) $(INSTALL_AGAIN) | $(VENV)/bin/python
	$(BIN)/python scripts/install.py --dev
	@echo "$$TORCH" > $(VENV)/.torch-wish
	@touch $@ $(VENV)/.run-stamp

.PHONY: install-again
install-again:

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
