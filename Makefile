# One command for each habit. `make run` and `make test` need Python 3.11 or newer and nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DISTRIBUTIONS := libs/events libs/runtime services/gateway services/template-sync services/health-projector deploy/local
STAMP := .venv/.installed

.PHONY: run test check format lock browser bench clean

run: $(STAMP) ## the whole system on this machine
	@exec $(BIN)/python -m wabus_local

test: $(STAMP) browser ## every test, on real Kafka, PostgreSQL and Chromium
	$(BIN)/pytest

check: $(STAMP) ## style, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(STAMP) ## pin requirements.in again; no index address goes into the file
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade --no-header --no-emit-index-url \
		requirements.in -o requirements.lock

clean:
	rm -rf .venv .wabus .pytest_cache .ruff_cache

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))
	@test -n "$(PYTHON)" || { echo "wabus needs Python 3.11 or newer: none found on PATH" >&2; exit 1; }
	@echo "wabus: creating .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv
	@echo "wabus: installing pinned packages from requirements.lock (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes -r requirements.lock
	@echo "wabus: installing the wabus packages from this folder"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(DISTRIBUTIONS))
	@touch $@
