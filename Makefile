# The commands people and CI use. `make serve` and `make test` need only Python 3.11 or newer.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin

# Every server that a test starts would compile its code again where this is set.
export PYTHONDONTWRITEBYTECODE =

.PHONY: serve test test-long test-clients lint types golden lock dist bench clean

serve: $(VENV)/.installed
	@exec $(BIN)/chatferry serve

test: lint types
	$(BIN)/python -m pytest -m "not long" --numprocesses 2 --dist loadfile --reruns 1 -rfER

test-long: $(VENV)/.installed-dev
	CHATFERRY_TEST_LONG=1 $(BIN)/python -m pytest

# Client libraries that know a Rocket.Chat server; from the network, so no part of `make test`.
test-clients: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[clients]'
	npm install --prefix tests/clients --no-package-lock --ignore-scripts --legacy-peer-deps --no-audit --no-fund
	CHATFERRY_TEST_CLIENTS=1 $(BIN)/python -m pytest tests/clients

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.installed-dev
	$(BIN)/mypy

golden: $(VENV)/.installed-dev
	CHATFERRY_UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/importers tests/api/description/test_openapi.py tests/test_formats.py

# What the container image installs, with hashes; build requirements too. The lock of an extra has the libraries of the
# locks before it in the same versions, so that all go together. Commit the difference.
LOCK := $(BIN)/uv pip compile --quiet --no-config --upgrade --generate-hashes --universal --python-version 3.12 \
	--custom-compile-command 'make lock'
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet 'uv>=0.5,<1'
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(LOCK) pyproject.toml - --output-file deploy/requirements.lock
	$(LOCK) pyproject.toml --extra s3 -c deploy/requirements.lock --output-file deploy/requirements-s3.lock
	$(LOCK) pyproject.toml --extra cluster -c deploy/requirements.lock -c deploy/requirements-s3.lock \
		--output-file deploy/requirements-cluster.lock

# The wheel, dist/chatferry-VERSION-py3-none-any.whl: docs/installing.md says how to install it.
dist: $(VENV)/.installed-dev
	$(BIN)/python -m hatchling build --target wheel --directory dist --clean

# Some 20 minutes; docs/performance.md says how to measure the rest.
bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.import_sqlite
	$(BIN)/python -m benchmarks.import_sqlite --messages 1000000 --workers 2 --runs 1
	$(BIN)/python -m benchmarks.import_mongodb --messages 10000
	$(BIN)/python -m benchmarks.import_mongodb --messages 100000 --workers 2 --runs 1
	$(BIN)/python -m benchmarks.api_latency

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "chatferry needs Python 3.11 or newer. On Debian 12 or Ubuntu 24.04: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo; echo "Python cannot create a virtual environment here. On Debian or Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed
