# One command each to show, test, check and measure. Every target sets up what it needs: a virtual
# environment per interpreter under .venv/X.Y, marked by stamp files, so a second run is quick.
#
# VERSION is set by the targets below when they call make again; set PYTHONS to choose.

PYTHONS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
SOAK_ARGS ?=
TRANSFER_ARGS ?=
NUMPY_ARGS ?=
FUZZ_SECONDS ?= 60

MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

VENV = .venv/$(VERSION)
BIN = $(CURDIR)/$(VENV)/bin
# A preset of core/, built by the CMake and the ninja of the virtual environment.
IN_CORE = cd core && PATH="$(BIN):$$PATH"
C_FILES = $(wildcard core/*/*.[ch] core/src/*/*.[ch] src/blockpool/*.h)
# What follows the kills in make soak: programs in tests/stress/ that call all there is, rightly and wrongly.
HOSTILE = random_calls hostile_messages like_the_standard leaks shutdown
# Directories too: their time changes when a file disappears.
SOURCES = pyproject.toml CMakeLists.txt README.md LICENSE core/CMakeLists.txt \
	$(shell find core/src core/include src -name __pycache__ -prune -o -print 2>/dev/null)

.PHONY: help demo test test-all torch-test soak transfer-soak numpy-test check format bench core-test fuzz clean fresh
.PRECIOUS: .venv/%/.made .venv/%/.build .venv/%/.package .venv/%/.test .venv/%/.lint .venv/%/.bench \
	.venv/%/.torch .venv/%/.numpy-test

help:
	@echo "make demo        megabytes between processes, three ways, measured (DEMO_ARGS=--kill)"
	@echo "make test        C tests, then pytest on the first Python found: some minutes"
	@echo "                 (PYTHONS=\"3.11\" chooses, PYTEST_ARGS=... passes on)"
	@echo "make test-all    everything that CI runs: checks, C tests with sanitizers, every Python, PyTorch"
	@echo "make torch-test  PyTorch on blocks: installs it for Python 3.11, some 200 MB"
	@echo "make soak        processes in shared pools, killed at random (SOAK_ARGS=\"--kills 10000 --seed 1\");"
	@echo "                 then random and hostile calls, leaks, and the end of programs"
	@echo "make transfer-soak  processes that send each other arrays, killed at random (TRANSFER_ARGS=...)"
	@echo "make numpy-test  NumPy's own tests, with their arrays in a pool (NUMPY_ARGS=--without-pool: without)"
	@echo "make core-test   C tests as shipped, with AddressSanitizer and UBSan, with ThreadSanitizer"
	@echo "make check       formats, linters, types, C warnings"
	@echo "make format      put Python and C files into the house's format"
	@echo "make bench       measure"
	@echo "make fuzz        damage segments and use them, guided by coverage (needs clang with libFuzzer;"
	@echo "                 FUZZ_SECONDS=60)"
	@echo "make clean       remove everything that these made"

demo test test-all torch-test soak transfer-soak numpy-test check format bench core-test fuzz: fresh

demo soak transfer-soak numpy-test bench check format core-test fuzz:
	@version=$$(tools/preflight.sh first $(PYTHONS)) && $(MAKE) do-$@ VERSION=$$version

test:
	@tools/run-tests.sh $(PYTHONS)

# One after the other: what is red first is cheapest.
test-all:
	@$(MAKE) check
	@$(MAKE) core-test
	@tools/run-tests.sh $(or $(PYTHONS),all)
	@$(MAKE) torch-test

# For one Python: for others it would be a download of gigabytes.
torch-test:
	@tools/preflight.sh versions 3.11 >/dev/null && $(MAKE) do-torch-test VERSION=3.11

clean:
	rm -rf .venv build core/build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A virtual environment does not survive being moved, nor the end of its interpreter.
fresh:
	@[ ! -e .venv ] || [ "$$(cat .venv/.where 2>/dev/null)" = "$(CURDIR)" ] \
		|| rm -rf .venv build core/build
	@mkdir -p .venv && echo "$(CURDIR)" >.venv/.where
	@for venv in .venv/*/; do \
		[ ! -d "$$venv" ] || "$$venv/bin/python" -c '' 2>/dev/null || rm -rf "$$venv"; \
	done

# ---- what needs a VERSION --------------------------------------------------------------------

.PHONY: do-demo do-torch-test do-soak do-transfer-soak do-numpy-test do-bench do-check do-format do-fuzz \
	do-core-test do-core-release do-core-asan do-core-tsan

do-demo: $(VENV)/.package
	@$(VENV)/bin/python -m blockpool demo $(DEMO_ARGS)

# The import first: the tests would be skipped without it.
do-torch-test: $(VENV)/.torch
	@$(VENV)/bin/python -c 'import torch; print("PyTorch", torch.__version__)'
	@$(VENV)/bin/python -m pytest tests/arrays/test_torch.py

do-soak: $(VENV)/.package
	$(VENV)/bin/python -m pip install --quiet "numpy>=1.26"
	@$(VENV)/bin/python tests/stress/soak.py $(SOAK_ARGS)
	@for program in $(HOSTILE); do echo "== $$program" && $(VENV)/bin/python tests/stress/$$program.py || exit 1; done

do-transfer-soak: $(VENV)/.package
	$(VENV)/bin/python -m pip install --quiet "numpy>=1.26"
	@$(VENV)/bin/python tests/stress/transfer_soak.py $(TRANSFER_ARGS)

do-numpy-test: $(VENV)/.package $(VENV)/.numpy-test
	@PATH="$(BIN):$$PATH" $(VENV)/bin/python tests/suites/numpy_suite.py $(NUMPY_ARGS)

do-bench: $(VENV)/.package $(VENV)/.bench
	$(IN_CORE) cmake --preset release
	$(IN_CORE) cmake --build --preset release --target bench
	@for bench in core/build/release/bin/*; do \
		[ ! -x "$$bench" ] || { echo "== $$bench" && "$$bench"; } || exit 1; done
	@for bench in benchmarks/[!_]*.py; do \
		[ ! -e "$$bench" ] || { echo "== $$bench" && $(VENV)/bin/python "$$bench"; } || exit 1; done

do-check: $(VENV)/.lint $(VENV)/.build
	$(VENV)/bin/python -m ruff format --check
	$(VENV)/bin/python -m ruff check
	$(VENV)/bin/python -m mypy src $(wildcard tests/typing/*.py)
	PATH="$(BIN):$$PATH" cython-lint $(wildcard src/blockpool/*.pyx src/blockpool/*.pxd src/blockpool/*.pxi)
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(IN_CORE) cmake --preset release
	$(IN_CORE) cmake --build --preset release --target all bench

do-format: $(VENV)/.lint
	$(VENV)/bin/python -m ruff format
	$(VENV)/bin/python -m ruff check --fix
	$(BIN)/clang-format -i $(C_FILES)

# What it finds interesting it keeps in core/build/fuzz/corpus; what fails, beside it as crash-… or timeout-….
do-fuzz: $(VENV)/.build
	@command -v clang >/dev/null || { echo "make fuzz needs clang and its libFuzzer (Debian: clang libclang-rt-dev)"; exit 1; }
	$(IN_CORE) cmake --preset fuzz
	$(IN_CORE) cmake --build --preset fuzz
	@mkdir -p core/build/fuzz/corpus
	$(IN_CORE) build/fuzz/fuzz/fuzz_segment_guided build/fuzz/corpus -timeout=5 -max_len=600 \
		-max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -artifact_prefix=build/fuzz/

do-core-test: do-core-release do-core-asan do-core-tsan

do-core-release do-core-asan do-core-tsan: do-core-%: $(VENV)/.build
	$(IN_CORE) cmake --preset $*
	$(IN_CORE) cmake --build --preset $*
	$(IN_CORE) ctest --preset $* -j $$(nproc)

# ---- virtual environments --------------------------------------------------------------------

.venv/%/.made:
	rm -rf .venv/$* build/$*
	@python=$$(tools/preflight.sh path $*) && echo "$$python -m venv .venv/$*" \
		&& "$$python" -m venv .venv/$*
	.venv/$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

# .build, .test, .numpy-test and .lint are the groups of those names in pyproject.toml. (One rule for all
# would not do: make takes several patterns in one rule for the results of one run.)
INSTALL_GROUP = .venv/$*/bin/python -m pip install --quiet --group $(patsubst .%,%,$(notdir $@)) \
	&& touch $@

.venv/%/.build: .venv/%/.made pyproject.toml
	$(INSTALL_GROUP)

.venv/%/.test: .venv/%/.made pyproject.toml
	$(INSTALL_GROUP)

.venv/%/.numpy-test: .venv/%/.made pyproject.toml
	$(INSTALL_GROUP)

.venv/%/.lint: .venv/%/.made pyproject.toml
	$(INSTALL_GROUP)

.venv/%/.bench: .venv/%/.package
	.venv/$*/bin/python -m pip install --quiet "numpy>=1.26" "rich>=13"
	@# peers; a benchmark names those that it misses
	@for peer in iceoryx2 kickmsg posix-ipc faster-fifo; do \
		.venv/$*/bin/python -m pip install --quiet "$$peer" || echo "$$peer cannot be installed here"; done
	@touch $@

.venv/%/.torch: .venv/%/.package .venv/%/.test
	.venv/$*/bin/python -m pip install --quiet torch==2.13.0
	@touch $@

# Not editable: what is tested and shown is what would be installed. The build folder stays.
.venv/%/.package: .venv/%/.build $(SOURCES)
	.venv/$*/bin/python -m pip install --quiet --no-build-isolation \
		--config-settings=build-dir=build/$* ".[cli]"
	@touch $@
