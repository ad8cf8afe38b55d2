# One command for each habit. `make run` and `make test` need Python 3.11 or newer and nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DISTRIBUTIONS := libs/events libs/runtime services/gateway services/template-sync services/health-projector deploy/local
STAMP := .venv/.installed

.PHONY: run test chaos bench browser check format lock clean

run: $(STAMP) ## the whole system on this machine
	@exec $(BIN)/python -m wabus_local

test: $(STAMP) browser ## every test, on real Kafka, PostgreSQL and Chromium
	$(BIN)/pytest -n 2 --dist loadfile

chaos: $(STAMP) ## kill everything in random order, for longer than `make test` does
	CHAOS_ROUNDS=40 $(BIN)/pytest tests/chaos

bench: $(STAMP) ## the gateway's benchmark needs wrk
	@for each in benchmarks/gateway.py benchmarks/template_sync.py benchmarks/health_api.py; do \
		echo "== $$each"; $(BIN)/python $$each || exit 1; done

browser: ## the browser tests need a Chromium; on Debian as root this installs it
	@test -n "$$CHROMIUM_PATH" || command -v chromium >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "wabus: installing Chromium for the browser tests" && \
		apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
		echo "wabus: no Chromium found (set CHROMIUM_PATH): the browser tests will be skipped"

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
