# `make` alone prints the targets. Everything is set up in .venv/ and in oomctl's cache.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo)
OOMCTL := $(BIN)/oomctl
LAB    := $(OOMCTL) lab run --timeout 4200 --
KERNEL_TESTS := env OOMCTL_KERNEL_TESTS=1 PYTHONDONTWRITEBYTECODE=1
KERNEL_PARTS := test-kernel-1 test-kernel-2
# How many suites `make test` runs at once.
JOBS ?= 2

# clang, lld, libbpf-dev: the BPF object and the hogs. The rest: the lab, and the module for it.
PACKAGES := clang lld libbpf-dev libbpf1 gcc make dwarves \
            qemu-system-x86 kmod file busybox-static
# A browser, for the test of the HTML page; cmark, for the man page; sysctl, for what doctor advises;
# stress-ng: a scenario is made of its tasks; perl reads TAP; openssh-client and dropbear-bin, which
# brings no daemon: a fleet with a guest; the others compress images and make file systems.
TEST_PACKAGES := chromium cmark procps stress-ng lzop lz4 zstd e2fsprogs perl openssh-client \
                 dropbear-bin

.DEFAULT_GOAL := help
.PHONY: help setup packages build demo dist man test test-unit test-kernel $(KERNEL_PARTS) test-slice test-lab soak trees flips roundtrips crash limits hostile smoke mutants restores selftests kunit bench check clean

help: ## print this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

packages: ## install the Debian packages that are missing
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -n "$$missing" ]; then \
	  echo "make: installing with apt:$$missing"; \
	  $(SUDO) apt-get update -q && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	fi

$(VENV)/.lab: pyproject.toml hatch_build.py
	@echo "make: installing oomctl and virtme-ng from PyPI into $(VENV)/"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --use-pep517 --editable '.[lab]'
	@touch $@

$(READY): $(VENV)/.lab
	@echo "make: installing the tools for checks and tests from PyPI into $(VENV)/"
	$(BIN)/pip install --disable-pip-version-check --quiet --use-pep517 --editable '.[lab,dev]'
	@touch $@

build: packages $(READY) ## compile the BPF object and the hogs into oomctl/built/
	@$(BIN)/python hatch_build.py

setup: build ## everything: packages, .venv/, and the lab's kernel in oomctl's cache
	@$(OOMCTL) lab fetch

demo: packages $(VENV)/.lab ## declare OOM on a real kernel in the lab and show which task died
	@$(OOMCTL) lab fetch
	$(OOMCTL) lab run -- oomctl declare

dist: build ## sdist and wheel in dist/, both checked; a wheel built from the sdist is the same
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m build --no-isolation --wheel --outdir dist/direct
	cmp dist/*.whl dist/direct/*.whl && rm -r dist/direct
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

man: $(READY) ## write docs/oomctl.1 from the help texts
	$(BIN)/python docs/man.py >docs/oomctl.1

# A guest keeps one processor busy. The longest first.
test: PACKAGES += $(TEST_PACKAGES)
test: setup ## all tests: here, and on the lab's kernel
	@echo "make: $(JOBS) suites at a time (JOBS=$(JOBS)); the output of each appears when it ends"
	@$(MAKE) --no-print-directory -j$(JOBS) -O $(KERNEL_PARTS) test-unit test-slice

test-slice: PACKAGES += $(TEST_PACKAGES)
test-slice: setup ## some of the tests of the lab, and of the mutants
	OOMCTL_LAB_TESTS=1 $(BIN)/pytest tests/lab -k 'status or panic or without_the_kfunc or whatever_ends or fleet'
	OOMCTL_MUTANTS=1 $(BIN)/pytest tests/lab/test_mutants.py -k 'blamed or gfp-mask-0'

# LAVA's dispatcher as the reader of its signals: unpacked, not installed, since it brings a daemon.
$(VENV)/lava: | packages $(READY)
	@echo "make: unpacking Debian's lava-dispatcher into $@/"
	@rm -rf $@ && mkdir $@ && cd $@ && \
	{ apt-get download -q lava-dispatcher || { $(SUDO) apt-get update -q && apt-get download -q lava-dispatcher; }; } && \
	apt-get download -q lava-common && for each in *.deb; do dpkg-deb -x $$each .; done

test-unit: PACKAGES += $(TEST_PACKAGES)
test-unit: build $(VENV)/lava ## the tests that need neither root nor the kfunc
	OOMCTL_LAVA=$(CURDIR)/$(VENV)/lava/usr/lib/python3/dist-packages $(BIN)/pytest tests --ignore tests/kernel --ignore tests/lab

test-kernel: $(KERNEL_PARTS) ## the tests on a real kernel, in two guests of the lab

$(KERNEL_PARTS): test-kernel-%: setup
	$(LAB) $(KERNEL_TESTS) OOMCTL_PART=$*/2 python -m pytest -p no:cacheprovider tests/kernel

soak: setup ## 500 declarations on the lab's kernel: nothing is left, nothing grows
	$(LAB) $(KERNEL_TESTS) OOMCTL_SOAK_ROUNDS=170 python -m pytest -p no:cacheprovider -rP \
	  --timeout 1700 tests/kernel/test_run.py -k soak

trees: setup ## 500 random trees in the lab: does the kernel kill the task that oomctl predicts?
	for first in 0 100 200 300 400; do \
	  $(LAB) $(KERNEL_TESTS) OOMCTL_TREES=100 OOMCTL_TREES_FROM=$$first python -m pytest \
	    -p no:cacheprovider tests/kernel/test_prediction.py -k random_trees || exit; \
	done

flips: setup ## 100 random trees in the lab: does each computed flip point turn the kernel's choice?
	for first in 0 20 40 60 80; do \
	  $(LAB) $(KERNEL_TESTS) OOMCTL_FLIPS=20 OOMCTL_FLIPS_FROM=$$first python -m pytest \
	    -p no:cacheprovider tests/kernel/test_flips.py || exit; \
	done

roundtrips: setup ## 200 random trees in the lab: explained from the log, and made again
	for first in 0 40 80 120 160; do \
	  $(LAB) $(KERNEL_TESTS) OOMCTL_ROUNDTRIPS=40 OOMCTL_ROUNDTRIPS_FROM=$$first python -m pytest \
	    -p no:cacheprovider tests/kernel/test_roundtrips.py || exit; \
	done

test-lab: setup ## the tests of the lab itself: some sixty boots, a third of them killed
	OOMCTL_LAB_TESTS=1 $(BIN)/pytest tests/lab

# The pairs in four boots: an emulated guest does not live through hours of attaching BPF programs.
CRASH := $(KERNEL_TESTS) OOMCTL_CRASHES=200 OOMCTL_PAIRS=50 OOMCTL_GLOBALS=50 \
         python -m pytest -p no:cacheprovider -rP --timeout 7000

crash: setup ## 200 runs killed at random moments, 200 pairs of runs, 50 system-wide declarations
	$(OOMCTL) lab run --timeout 7200 -- $(CRASH) -k 'not two_at_once' \
	  tests/kernel/test_crash.py tests/kernel/test_interlocks.py
	for part in 1 2 3 4; do \
	  $(OOMCTL) lab run --timeout 3600 -- $(CRASH) -k two_at_once tests/kernel/test_crash.py || exit; \
	done

limits: setup ## every kind of hog below limits that are too tiny for it
	$(LAB) $(KERNEL_TESTS) OOMCTL_LIMITS=1 python -m pytest -p no:cacheprovider \
	  tests/kernel/test_hog_limits.py -k tiny_limit

hostile: build ## 25,000 hostile files, command lines and contents of /proc: a line, never a traceback
	OOMCTL_HOSTILE=25000 $(BIN)/pytest tests/hostile --hypothesis-profile=random

smoke: setup ## the kfunc's contract on the lab's kernel, and where that should panic
	$(OOMCTL) lab smoke --format table

mutants: setup ## faults planted into oomctl's model, and kernels that break the contract: noticed?
	OOMCTL_MUTANTS=1 $(BIN)/pytest -rP tests/mutants tests/lab/test_mutants.py

restores: setup ## 500 machines of the lab restored in a row: none hangs, none differs
	OOMCTL_LAB_TESTS=1 OOMCTL_RESTORES=500 $(BIN)/pytest tests/lab/test_restored.py -k many

selftests: setup ## the kernel's own tests of memory cgroups in the lab; fetches its source
	OOMCTL_SELFTESTS=1 $(BIN)/pytest -rP tests/lab/test_selftests.py

kunit: setup ## does the kernel's own kunit.py read our KTAP? fetches the kernel's source
	OOMCTL_KUNIT=1 $(BIN)/pytest tests/lab/test_kunit.py

bench: PACKAGES += libc6-dev stress-ng numactl
bench: setup ## oomctl beside its peers, in one run; writes docs/performance.*
	$(BIN)/python -m benchmarks --lab stock --page docs/performance.md --svg docs/performance.svg \
	  --json docs/performance.json

check: build ## formatting, lint, types, layers and dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/vulture

clean: ## remove what was built and installed here
	rm -rf $(VENV) oomctl/built dist .mypy_cache .ruff_cache .pytest_cache
