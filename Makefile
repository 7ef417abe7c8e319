# What people type.  `make demo` and `make test` need Python 3.11+, its venv module and a C compiler; the rest is
# for those who change gradsz (docs/testing.md).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CORE = setup.py pyproject.toml gradsz/_core.pyx $(wildcard src_c/*.[ch] src_c/*/*.[ch])
RUNS ?= 2000000
PYTEST = $(BIN)/pytest

.PHONY: demo test test-full sanitize fuzz fuzz-replay exhaustive bench bench-large bench-mean bench-training golden digests seeds lint clean

demo: $(VENV)/installed
	$(BIN)/gradsz demo

# -rfEs: the closing lines name what failed and what was skipped, and why
test: $(VENV)/installed
	$(PYTEST) -q -rfEs -m "not slow" tests

# everything, more examples of each, then the sanitizers and ten times the usual fuzzing: about an hour
test-full: $(VENV)/installed
	GRADSZ_TEST_PROFILE=full $(PYTEST) -q -rfEs tests
	$(MAKE) sanitize
	$(MAKE) fuzz RUNS=200000

# ---- the environment: gradsz as it stands in this checkout, and what its tests need
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gradsz needs Python 3.11 or newer; $$($(PYTHON) --version) is $(PYTHON). Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "No venv module: apt-get install python3-venv (Debian, Ubuntu), then make $(MAKECMDGOALS) again" >&2; exit 1; }

# pip 25.1 is the first that knows dependency groups
$(VENV)/packages: pyproject.toml | $(BIN)/python
	@$(BIN)/python -c 'import sysconfig, os, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || \
	  { echo "No Python.h: apt-get install python3-dev (Debian, Ubuntu), then make $(MAKECMDGOALS) again" >&2; exit 1; }
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install -q --group test
	@touch $@

$(VENV)/installed: $(CORE) $(wildcard gradsz/*.py gradsz/*.pyi) | $(VENV)/packages
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

# ---- sanitizers: the C tests always run under them; here the Python tests do too, with a core built for it
SANITIZED = $(CURDIR)/build/sanitize
ASAN_ENV = ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so) $$(gcc -print-file-name=libstdc++.so)"
sanitize: $(VENV)/installed
	$(PYTEST) -q -rfEs tests/test_native.py
	mkdir -p $(SANITIZED)
	CC=gcc GRADSZ_CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" GRADSZ_LDFLAGS="-fsanitize=address,undefined" \
	  $(BIN)/python -m pip install -q --no-deps --upgrade --target $(SANITIZED) .
	$(ASAN_ENV) PYTHONPATH=$(SANITIZED) $(PYTEST) -q -rfEs -p no:cacheprovider -m "not slow" tests \
	  --ignore tests/test_native.py --ignore tests/test_crossbuild.py --ignore tests/test_demo.py

# ---- fuzzing: needs clang; replaying needs any compiler
fuzz:
	fuzz/run.sh all $(RUNS)

fuzz-replay: $(VENV)/installed
	$(PYTEST) -q tests/test_native.py -k fuzz_replay

seeds: $(VENV)/installed
	$(BIN)/python fuzz/seeds.py

# ---- all float32 patterns at four bounds: five minutes on two cores
exhaustive:
	$(MAKE) -s -f tests/c/build.mk BUILD=build/native/exhaustive CFLAGS=-O3 exhaustive
	build/native/exhaustive/tests/exhaustive/exhaustive --full

# ---- pinned files: to be written again only when the format or the encoder's choices change
digests:
	$(MAKE) -s -f tests/c/build.mk BUILD=build/native/digest-gcc CC=gcc CFLAGS=-O3 digest
	build/native/digest-gcc/tests/cross/digest > tests/cross/digests.txt

golden: $(VENV)/installed
	$(BIN)/python tests/golden/make.py

bench: $(VENV)/installed
	$(BIN)/python -m pip install -q --group bench
	$(BIN)/python bench/run.py

bench-large bench-mean bench-training: bench-%: $(VENV)/installed
	$(BIN)/python -m pip install -q --group bench
	$(BIN)/python bench/$*.py

lint: $(VENV)/installed
	$(BIN)/python -m mypy gradsz
	bash -n fuzz/run.sh .ci/run

clean:
	rm -rf build $(VENV) gradsz/_core.c gradsz/*.so *.egg-info
