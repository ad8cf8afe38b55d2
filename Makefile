# One command for each habit; `make help` lists them. They need Python 3.11 or newer and nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DISTRIBUTIONS := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml deploy/*/pyproject.toml))
STAMP := .venv/.installed
TOOLS := .tools
HELM := v3.22.0
KUBECONFORM := v0.8.0
UV_COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

PYTEST := $(BIN)/pytest --dist loadfile -n 2
PYTEST_3 := $(BIN)/pytest --dist loadfile -n 3 # most tests wait for Kafka now and then: a third process uses that

.PHONY: help run test-unit test-one test test-long chaos bench user browser nginx tools check format lock release clean
unexport PYTHONDONTWRITEBYTECODE # or each process of pytest compiles all tests anew, in half of the time it takes to begin
.NOTPARALLEL: # what is said before anything is installed must come before it

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

run: user $(STAMP) ## the whole system on this machine
	@exec $(BIN)/python -m wabus_local

test-unit: $(STAMP) ## what needs no Kafka, PostgreSQL or browser: under a minute, the loop to work in
	HYPOTHESIS_PROFILE=unit $(PYTEST) tests/*/unit

test-one: user $(STAMP) ## some tests: T=tests/gateway/unit/test_status_page_session.py, or T=tests/runtime/integration/test_auth.py::test_…
	@test -n "$(T)" || { echo "wabus: say which, as in: make test-one T=tests/gateway/unit/test_status_page_session.py" >&2; exit 2; }
	$(BIN)/pytest $(T)

test: user $(STAMP) browser nginx tools ## all but what takes long, on real Kafka, PostgreSQL and Chromium: nine minutes
	HYPOTHESIS_PROFILE=ci $(PYTEST_3) -m "not long"

test-long: user $(STAMP) browser nginx tools ## what kills, upgrades, restores, builds, speaks other languages, walks far
	HYPOTHESIS_PROFILE=ci $(PYTEST) -m long

chaos: user $(STAMP) ## kill everything in random order, for much longer, and draw the unit tests' examples at random
	HYPOTHESIS_PROFILE=chaos $(PYTEST) tests/*/unit
	CHAOS_ROUNDS=40 CHAOS_SEED=$${CHAOS_SEED:-$$(date +%s)} $(BIN)/pytest tests/chaos

bench: $(STAMP) ## every benchmark, into docs/benchmarks.md; the gateway's needs wrk
	@$(BIN)/python benchmarks/report.py

user: # root can't run PostgreSQL, and needs useradd to make the user that can: said before anything is installed
	@test "$$(id -u)" != 0 || test -n "$$DATABASE_URL" || grep -qs '^DATABASE_URL=.' .env || \
		id embedded_postgres >/dev/null 2>&1 || command -v useradd >/dev/null || { \
		echo "wabus: PostgreSQL does not run as root, and there is no useradd to make a user for it: install the package that" >&2; \
		echo "wabus: brings it (Debian and Ubuntu: passwd, Fedora: shadow-utils), or run make as another user" >&2; exit 1; }

browser: # the browser tests need a Chromium; on Debian as root this installs it
	@test -n "$$CHROMIUM_PATH" || command -v chromium >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "wabus: installing Chromium for the browser tests" && \
		apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
		echo "wabus: no Chromium found (set CHROMIUM_PATH): the browser tests will be skipped"

nginx: # the test of Compose's front needs an nginx; on Debian as root this installs it, but not as the machine's web server
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "wabus: installing nginx for the test of Compose's front" && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light >/dev/null && \
		{ systemctl disable --now nginx >/dev/null 2>&1 || true; }; } || \
		echo "wabus: no nginx found: the test of Compose's front will be skipped"

check: $(STAMP) ## style, types, import rules, known vulnerabilities, the contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m wabus_contract.catalogue --check
	@$(BIN)/python .ci/audit.py requirements.lock deploy/images/*.lock deploy/tools/*.lock

tools: $(TOOLS)/.installed $(TOOLS)/bin/promtool ## what checks deploy/ in the tests; Helm and kubeconform need Go, and minutes the first time

format: $(STAMP) ## format the code, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(STAMP) ## pin all requirements and Kafka's jars again; no index address goes into the files
	$(BIN)/python -m wabus_local.jars
	$(UV_COMPILE) --upgrade requirements.in -o requirements.lock
	$(UV_COMPILE) --upgrade --no-annotate -c requirements.lock deploy/images/requirements.in -o deploy/images/requirements.lock \
		$(addprefix --no-emit-package ,$(shell sed -n 's|^\./[a-z]*/|wabus-|p' deploy/images/requirements.in))
	$(UV_COMPILE) --upgrade --no-annotate -c requirements.lock deploy/images/build.in -o deploy/images/build.lock
	$(UV_COMPILE) --upgrade --no-annotate -c requirements.lock -c deploy/images/build.lock deploy/tools/requirements.in \
		-o deploy/tools/requirements.lock

release: $(STAMP) tools ## wheels, chart, bill of materials and, where Docker answers, the image into dist/
	@$(BIN)/python deploy/release.py

clean: ## remove all that is made here, the data of `make run` too
	rm -rf .venv .tools .wabus dist .pytest_cache .ruff_cache

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))
	@test -n "$(PYTHON)" || { echo "wabus needs Python 3.11 or newer: none found on PATH" >&2; exit 1; }
	@echo "wabus: creating .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv
	@echo "wabus: installing pinned packages from requirements.lock (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes -r requirements.lock
	@echo "wabus: installing the wabus packages from this folder"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(DISTRIBUTIONS))
	@$(BIN)/python -m compileall -q $(DISTRIBUTIONS) # or each start compiles, where PYTHONDONTWRITEBYTECODE is set
	@touch $@

$(TOOLS)/.installed: deploy/tools/requirements.lock Makefile
	@test -n "$(PYTHON)" || { echo "wabus needs Python 3.11 or newer: none found on PATH" >&2; exit 1; }
	@echo "wabus: installing what checks deploy/ into $(TOOLS)"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes -r deploy/tools/requirements.lock
	@if command -v go >/dev/null; then \
		echo "wabus: building Helm and kubeconform (some minutes the first time)"; \
		GOBIN=$(CURDIR)/$(TOOLS)/bin go install helm.sh/helm/v3/cmd/helm@$(HELM) && \
		GOBIN=$(CURDIR)/$(TOOLS)/bin go install github.com/yannh/kubeconform/cmd/kubeconform@$(KUBECONFORM); \
	else echo "wabus: no Go: the chart is not rendered in the tests"; fi 2>&1 | grep -v "^go: downloading" || true
	@touch $@

# Of the machine, else out of Debian's package, which is not installed: it would run a server.
$(TOOLS)/bin/promtool: | $(TOOLS)/.installed
	@if command -v promtool >/dev/null; then ln -sf "$$(command -v promtool)" $@; \
	elif command -v apt-get >/dev/null && command -v dpkg >/dev/null; then \
		echo "wabus: getting promtool out of Debian's package of Prometheus"; \
		rm -rf $(TOOLS)/prometheus && mkdir -p $(TOOLS)/prometheus && cd $(TOOLS)/prometheus && \
		{ test "$$(id -u)" != 0 || apt-get update -qq; } && apt-get download -qq prometheus 2>/dev/null && \
		dpkg -x prometheus_*.deb . && cp usr/bin/promtool ../bin/ && cd .. && rm -rf prometheus; \
	fi || true
	@test -x $@ || echo "wabus: promtool could not be had: put it on PATH, or the tests of the alert rules are skipped"
