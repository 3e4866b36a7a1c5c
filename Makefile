# One word per task. Everything happens in .venv/, set up on the first use; PYTHON chooses the interpreter for it.
# Stamps: .venv/.installed (runtime), .venv/.dev (tools), .venv/.built (extensions as new as their sources),
# tests/js/node_modules/.installed (npm clients that read the encoders' output; only where npm is).

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
CYTHON := $(wildcard src/millstream/core/*.pyx src/millstream/core/*.pxd)
SOURCES := $(wildcard csrc/*.h) $(CYTHON) setup.py
NPM := $(if $(shell command -v npm 2>/dev/null),tests/js/node_modules/.installed)

SDISTS := $(or $(MILLSTREAM_PEER_SDISTS),$(HOME)/.cache/millstream/sdists)

.PHONY: help build demo peers test test-local lint bench soak clean
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(VENV)/.built ## Compile the extensions

demo: $(VENV)/.built ## Run the demo (options in ARGS="...")
	@$(VENV)/bin/millstream demo $(ARGS)

peers: $(VENV)/.peers ## Set up what the suites of other libraries need (tests/compat/test_peers.py)

test: $(VENV)/.dev $(VENV)/.built $(NPM) ## Run the tests (options in ARGS="...")
	@$(PY) -m pytest $(ARGS)

test-local: $(VENV)/.dev $(VENV)/.built ## Chat, tools and objects with the model at MILLSTREAM_LOCAL_BASE_URL
	@test -n "$$MILLSTREAM_LOCAL_BASE_URL" || \
	  { echo 'Set MILLSTREAM_LOCAL_BASE_URL, such as http://127.0.0.1:8080/v1; see docs/howto/local_model.md' >&2; exit 1; }
	@$(PY) -m pytest tests/providers/test_local.py $(ARGS)

lint: $(VENV)/.dev $(VENV)/.built ## Check style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@PATH="$(VENV)/bin:$$PATH" cython-lint $(CYTHON) # it calls pycodestyle by name

bench: $(VENV)/.dev $(VENV)/.built ## Measure, compare with the peers, write bench/RESULTS.md
	@$(PY) -m pytest bench/bench_core.py $(ARGS)
	@$(PY) -m bench.report
	@$(PY) -m bench.compat
	@$(PY) -m bench.bench_streams

soak: $(VENV)/.dev $(VENV)/.built ## Send 10 million events through five operators; speed and memory must stay flat
	@$(PY) -m bench.bench_streams --soak 10000000

clean: ## Remove .venv and everything built
	rm -rf $(VENV) tests/js/node_modules build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f src/millstream/core/*.so
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'millstream needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig, venv, ensurepip; os.stat(sysconfig.get_path("include") + "/Python.h")' \
	  2>/dev/null && { command -v gcc || command -v clang; } >/dev/null || \
	  { echo 'Missing: venv, Python.h or a C compiler. On Debian and Ubuntu:' >&2; \
	    echo '    sudo apt-get install python3-venv python3-dev gcc' >&2; exit 1; }
	@echo 'Setting up $(VENV) (once)' >&2
	@$(PYTHON) -m venv $(VENV)

# The editable install compiles too, so .built has work only when sources changed after it.
$(VENV)/.installed: pyproject.toml setup.py | $(PY)
	@$(PIP) --upgrade pip
	@$(PIP) --group build
	@$(PIP) --no-build-isolation --editable '.[cli]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(PIP) --group dev
	@touch $@

$(VENV)/.built: $(SOURCES) $(VENV)/.installed
	@$(if $(filter %.installed,$?),,$(PY) setup.py --quiet build_ext --inplace)
	@touch $@

tests/js/node_modules/.installed: tests/js/package.json tests/js/package-lock.json
	@cd tests/js && if npm ci --silent --no-audit --no-fund; then touch node_modules/.installed; \
	  elif [ "$$MILLSTREAM_REQUIRE_NODE" = 1 ]; then exit 1; \
	  else echo 'npm ci failed (no network?): the tests with npm clients are skipped' >&2; fi

$(VENV)/.peers: pyproject.toml | $(VENV)/.installed
	@for group in peers litellm; do \
	  $(PYTHON) -m venv $(VENV)/$$group && $(VENV)/$$group/bin/python -m pip install -q --upgrade pip && \
	  $(VENV)/$$group/bin/python -m pip install -q --group $$group || exit 1; done
	@mkdir -p $(SDISTS)
	@for sdist in httpx_sse-0.4.3 openai-3.52.0 anthropic-2.11.0; do \
	  test -f $(SDISTS)/$$sdist.tar.gz || \
	  $(PY) -m pip download -q --no-deps --no-binary :all: --dest $(SDISTS) $${sdist%-*}==$${sdist##*-} || exit 1; done
	@touch $@
