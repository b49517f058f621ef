# One command each to show, test, check and measure. Every target sets up what it needs: a virtual environment per
# interpreter under .venv/X.Y, marked by stamp files, so a second run is quick. What is longer than a line is in tools/.
#
# VERSION is set by the targets below when they call make again; set PYTHONS to choose.

PYTHONS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
SOAK_ARGS ?=
TRANSFER_ARGS ?=
CROWD_ARGS ?=
QUEUE_ARGS ?=
NUMPY_ARGS ?=
WHEEL_TEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_SECONDS ?= 60

MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore
# A free-threaded build may have wheels of an older release alone: compiling NumPy takes long.
export PIP_PREFER_BINARY = 1

VENV = .venv/$(VERSION)
ifdef VERSION
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
endif
# Directories too: their time changes when a file disappears.
SOURCES = pyproject.toml CMakeLists.txt README.md LICENSE core/CMakeLists.txt \
	$(shell find core/src core/include src -name __pycache__ -prune -o -print 2>/dev/null)

# Each is made with the first Python found, after what it needs is installed.
WITH_PYTHON = demo soak transfer-soak crowd-soak queue-soak recording-soak numpy-test bench bench-report check format docs core-test \
	core-aarch64 fuzz wheel wheel-test

.PHONY: help test test-all engines-test browser-test clean fresh $(WITH_PYTHON)

help:
	@echo "make demo        megabytes between processes, three ways, measured (DEMO_ARGS=--kill)"
	@echo "make test        C tests, then pytest on the first Python found: some minutes"
	@echo "                 (PYTHONS=\"3.11 3.14t\" chooses, PYTEST_ARGS=... passes on)"
	@echo "make test-all    everything that CI runs: checks, the wheel, C tests with sanitizers, every Python, other libraries, the web page"
	@echo "make engines-test  pools inside PyTorch, Dask, Ray and web servers: installs them for Python 3.11, some 400 MB"
	@echo "make browser-test  the web page in Chromium, which must be there; installs Playwright's library and axe-core"
	@echo "make soak        processes in shared pools, killed at random (SOAK_ARGS=\"--kills 10000 --seed 1\");"
	@echo "                 then random and hostile calls, leaks, and the end of programs"
	@echo "make transfer-soak  processes that send each other arrays, killed at random (TRANSFER_ARGS=...)"
	@echo "make crowd-soak  a thousand processes in one pool, killed at random (CROWD_ARGS=\"--processes 300\")"
	@echo "make queue-soak  senders and receivers of a queue, killed at random, then idle receivers, then workers of"
	@echo "                 executors (QUEUE_ARGS=...)"
	@echo "make recording-soak  recorders and recorded processes, killed at random (RECORDING_ARGS=\"--seed 1\")"
	@echo "make numpy-test  NumPy's own tests, with their arrays in a pool (NUMPY_ARGS=--without-pool: without)"
	@echo "make wheel       the source distribution and this Python's wheel, as released: built, audited, tried; in dist/"
	@echo "make wheel-test  the Python suite against that wheel (WHEEL_TEST_ARGS=tests/private)"
	@echo "make core-aarch64  C tests for aarch64, cross-compiled and run under qemu-user, with pages of 64 KiB too"
	@echo "make core-test   C tests as shipped, with AddressSanitizer and UBSan, with ThreadSanitizer"
	@echo "make check       formats, linters, types, prose, docstrings, layers, C warnings"
	@echo "make format      put Python and C files into the house's format"
	@echo "make docs        the documentation as a site in build/docs/html; warnings are errors"
	@echo "make bench       measure"
	@echo "make bench-report  measure beside all peers, and write docs/benchmarks-report.md: 20 minutes on an idle machine"
	@echo "                 (BENCH_ARGS=--quick)"
	@echo "make fuzz        damage segments and use them, guided by coverage (needs clang with libFuzzer;"
	@echo "                 FUZZ_SECONDS=60)"
	@echo "make clean       remove everything that these made"

$(WITH_PYTHON): fresh
	@version=$$(tools/preflight.sh first $(PYTHONS)) && $(MAKE) do-$@ VERSION=$$version

test: fresh
	@tools/run-tests.sh $(PYTHONS)

test-all: fresh
	@tools/test-all.sh $(PYTHONS)

# For one Python only: for each, these would be gigabytes of downloads.
engines-test: fresh
	@tools/preflight.sh versions 3.11 >/dev/null && $(MAKE) do-engines-test VERSION=3.11

browser-test: fresh
	@version=$$(tools/preflight.sh first $(PYTHONS)) && $(MAKE) do-browser-test VERSION=$$version

clean:
	rm -rf .venv build core/build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

fresh:
	@tools/fresh.sh

# ---- what needs a VERSION --------------------------------------------------------------------

.PHONY: $(WITH_PYTHON:%=do-%) do-engines-test do-browser-test do-core-release do-core-asan do-core-tsan

do-demo: $(VENV)/.package
	@python -m blockpool demo $(DEMO_ARGS)

# The imports first: without these libraries, the tests would be skipped.
do-engines-test: $(VENV)/.package $(VENV)/.test $(VENV)/.engines
	@python -c 'import torch, distributed, ray, gunicorn, celery, gevent, pathos, ipykernel'
	@command -v uwsgi_python311 >/dev/null || \
		{ echo "blockpool: uWSGI is missing (Debian: uwsgi-core, uwsgi-plugin-python3)" >&2; exit 1; }
	@python -m pytest -n 2 --dist loadfile tests/engines $(PYTEST_ARGS)

# Without these the tests would be skipped.
do-browser-test: $(VENV)/.package $(VENV)/.browser build/axe/.made
	@command -v chromium >/dev/null || \
		{ echo "blockpool: chromium is missing (Debian: apt-get install chromium)" >&2; exit 1; }
	@BLOCKPOOL_BROWSER=chromium BLOCKPOOL_AXE=build/axe/node_modules/axe-core/axe.min.js \
		python -m pytest tests/web/browser $(PYTEST_ARGS)

do-wheel: $(VENV)/.release
	@tools/wheel.sh

# With an environment of its own, which has the wheel.
do-wheel-test: $(VENV)/.made
	@tools/wheel-test.sh "" $(WHEEL_TEST_ARGS)

do-soak: $(VENV)/.package
	@tools/soak.sh $(SOAK_ARGS)

do-transfer-soak: $(VENV)/.package
	@python tests/stress/transfer_soak.py $(TRANSFER_ARGS)

do-crowd-soak: $(VENV)/.package
	@python tests/stress/crowd_soak.py --recover-within 0.05 $(CROWD_ARGS)

do-queue-soak: $(VENV)/.package $(VENV)/.test
	@python tests/stress/queue_soak.py --kills 10000 $(QUEUE_ARGS)
	@python tests/stress/queue_soak.py --idle-kills 1000 $(QUEUE_ARGS)
	@EXECUTOR_KILLS=500 python -m pytest tests/queues/test_executor.py -k random_kills

do-recording-soak: $(VENV)/.package $(VENV)/.test
	@python tests/stress/recording_soak.py --seconds 300 $(RECORDING_ARGS)

do-numpy-test: $(VENV)/.package $(VENV)/.numpy-test
	@python tests/suites/numpy_suite.py $(NUMPY_ARGS)

do-bench: $(VENV)/.package $(VENV)/.peers
	@tools/bench.sh

# The peers have an environment of their own, which the command makes.
do-bench-report: $(VENV)/.package $(VENV)/.test
	@blockpool bench --peers build/peers-$(VERSION) --report docs/benchmarks-report.md \
		--json docs/benchmarks-report.json --plots docs/images/benchmarks --force $(BENCH_ARGS)

do-check: $(VENV)/.package $(VENV)/.lint
	@tools/check.sh

# All of it each time: Sphinx does not know what the pages take from docstrings and headers.
do-docs: $(VENV)/.package $(VENV)/.docs
	@python -m sphinx -W --keep-going -E -q -j auto -d build/docs/doctrees -b html docs build/docs/html
	@python tools/check_site.py build/docs/html

do-format: $(VENV)/.lint
	ruff format
	ruff check --fix
	find core src -path core/build -prune -o -name '*.[ch]' -print | xargs clang-format -i

do-fuzz: $(VENV)/.build
	@tools/fuzz.sh $(FUZZ_SECONDS)

do-core-test: do-core-release do-core-asan do-core-tsan

do-core-release do-core-asan do-core-tsan do-core-aarch64: do-core-%: $(VENV)/.build
	cd core && cmake --preset $*
	cd core && cmake --build --preset $*
	cd core && ctest --preset $* -j $$(nproc)

# ---- virtual environments --------------------------------------------------------------------

.PRECIOUS: $(foreach stamp,made package peers build binding-test test numpy-test lint engines browser docs release,.venv/%/.$(stamp))

.venv/%/.made:
	rm -rf .venv/$* build/$*
	@python=$$(tools/preflight.sh path $*) && echo "$$python -m venv .venv/$*" && "$$python" -m venv .venv/$*
	.venv/$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

# A rule for each group of pyproject.toml: of several patterns in one rule, make would take one run to make them all.
define rule_for_group
.venv/%/.$(1): .venv/%/.made pyproject.toml
	.venv/$$*/bin/python -m pip install --quiet --group $(1) && touch $$@
endef
$(foreach group,build binding-test test numpy-test lint engines browser docs release,$(eval $(call rule_for_group,$(group))))

build/axe/.made: tests/web/browser/package.json
	mkdir -p build/axe && cp $< build/axe && npm install --prefix build/axe --no-audit --no-fund --silent && touch $@

.venv/%/.peers: .venv/%/.made pyproject.toml
	@.venv/$*/bin/python tools/install-peers.py && touch $@

# Not editable: what is tested and shown is what would be installed. The build folder stays.
.venv/%/.package: .venv/%/.build $(SOURCES)
	.venv/$*/bin/python -m pip install --quiet --no-build-isolation \
		--config-settings=build-dir=build/$* --config-settings=cmake.define.BLOCKPOOL_TESTING=ON ".[cli]"
	@touch $@
