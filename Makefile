# One way in: each target stands alone on a fresh machine with Python >= 3.11 and a Rust toolchain.
#
#   make demo     two sources mixed and packed, a tiny model, a kill, a resume on other ranks: the same stream
#   make test     cargo test, the ring's model check, pytest, doctests
#   make lint     formatters, clippy, ruff, mypy, stubtest, cargo deny
#   make docs     the site
#   make bench    rowmill beside its peers: table, JSON and PNG in bench-results/
#
# Variables: PYTHON (the interpreter to start from), CARGO_TARGET_DIR (where Rust builds),
# WHEELS (a folder of wheels to prefer), PYTEST_ARGS, PYTEST_WORKERS (processes that share the tests),
# BENCH_ARGS, DEMO_ARGS.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
WHEELS ?= ../shared/wheels
PYTEST_ARGS ?=
PYTEST_WORKERS ?= 2
BENCH_ARGS ?=
DEMO_ARGS ?=
VENV := .venv
BENCH_VENV := .venv-bench
DOCS_VENV := .venv-docs
ifeq ($(OS),Windows_NT)
  SCRIPTS := Scripts
else
  SCRIPTS := bin
endif
BIN := $(VENV)/$(SCRIPTS)
BENCH_BIN := $(BENCH_VENV)/$(SCRIPTS)
GROUP ?= dev
CARGO_DENY := 0.20.2

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One interpreter for cargo and maturin: another one would build pyo3 a second time.
export PYO3_PYTHON := $(abspath $(BIN)/python)

# A folder of wheels beside the checkout is used instead of a download of the same package.
ifneq ($(wildcard $(WHEELS)/torch-*.whl),)
  LOCAL_TORCH := $(firstword $(subst +, ,$(word 2,$(subst -, ,$(notdir $(firstword $(wildcard $(WHEELS)/torch-*.whl)))))))
  export PIP_FIND_LINKS := $(abspath $(WHEELS))
  export PIP_CONSTRAINT := $(CURDIR)/build/constraints.txt
endif

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
PYTHON_SOURCES := $(shell find python -type f ! -name '*.so' ! -name '*.pyd' ! -path '*/__pycache__/*' 2>/dev/null)

.PHONY: help format demo test test-rust test-loom test-python lint lint-rust lint-python deny bench bench-rust wheel docs clean

help: ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

# ---- the environment -------------------------------------------------------------------------

build/constraints.txt: Makefile
	@mkdir -p build
	@echo "$(if $(LOCAL_TORCH),torch==$(LOCAL_TORCH),# no local wheels)" > $@

$(VENV)/.installed: pyproject.toml build/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rowmill needs Python >= 3.11; name one with PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	env -u PIP_CONSTRAINT $(BIN)/python -m pip install -q 'pip>=25.1'
	$(BIN)/python -m pip install -q --group $(GROUP) 'maturin>=1.9.4,<2'
	@touch $@

# The dev profile (opt-level 1) serves demo, test and lint alike; Python sources are used in place.
$(VENV)/.built: $(VENV)/.installed $(RUST_SOURCES) pyproject.toml
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --quiet --locked
	@touch $@

# ---- what a person asks for ------------------------------------------------------------------

demo: $(VENV)/.built ## Mix, pack, train, kill, resume on other ranks
	$(BIN)/rowmill demo $(DEMO_ARGS)

test: test-rust test-loom test-python ## All tests

test-rust: $(VENV)/.installed ## cargo test of the core, doctests included
	cargo test --locked -p rowmill-core

# Its own target folder: --cfg loom changes every crate. A release build, because loom walks
# thousands of interleavings; without LTO, which would only make the build longer.
test-loom: build/constraints.txt ## The ring's model check under every interleaving
	RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_LTO=off \
		CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)/loom" \
		cargo test --locked -p rowmill-core --release --lib prefetch::model 2>&1 | tee build/loom.log
	@! grep -q 'ok\. 0 passed' build/loom.log || { echo 'no model was checked: has prefetch::model moved?'; exit 1; }

test-python: $(VENV)/.built ## pytest and the docstrings' examples
	$(BIN)/python -m pytest tests -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)
	$(BIN)/python -m pytest --doctest-modules python/rowmill -q

format: $(VENV)/.installed ## What formatters can put right
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

lint: lint-rust lint-python deny ## Every check that runs no test

lint-rust: $(VENV)/.installed ## rustfmt and clippy; the benches compile too
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

lint-python: $(VENV)/.built ## ruff, mypy, and the stub against the built module
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest rowmill._rust

# A debug build of cargo-deny takes about two minutes, once, kept with Rust's target folder; where it
# cannot be had the check says so and is left out. Advisories need a database from the network:
# `cargo deny check advisories` where there is one (CI does).
deny: export PATH := $(CARGO_TARGET_DIR)/tools/bin:$(PATH)
deny: ## Licences, bans and sources of every crate that is linked
	@cargo deny --version >/dev/null 2>&1 || cargo install --quiet --debug --locked cargo-deny@$(CARGO_DENY) \
		--root "$(CARGO_TARGET_DIR)/tools" --target-dir "$(CARGO_TARGET_DIR)/tools/target" || true
	@if cargo deny --version; then cargo deny --locked --workspace check licenses bans sources; \
	else echo 'LEFT OUT: cargo deny check, for cargo-deny is not here and could not be installed'; fi

wheel: $(VENV)/.installed ## A release wheel in dist/
	rm -rf dist
	$(BIN)/maturin build --release --locked --out dist
	@ls -l dist

$(BENCH_VENV)/.installed: benches/peers.txt pyproject.toml build/constraints.txt
	test -x $(BENCH_BIN)/python || $(PYTHON) -m venv $(BENCH_VENV)
	env -u PIP_CONSTRAINT $(BENCH_BIN)/python -m pip install -q 'pip>=25.1'
	$(BENCH_BIN)/python benches/python/install_peers.py $(BENCH_BIN)/python benches/peers.txt
	@touch $@

# The wheel is installed, not developed in place: a release build must not replace the tests' one.
$(BENCH_VENV)/.built: $(BENCH_VENV)/.installed $(VENV)/.installed $(RUST_SOURCES) $(PYTHON_SOURCES)
	rm -rf build/bench-wheel
	$(BIN)/maturin build --quiet --release --locked --out build/bench-wheel
	$(BENCH_BIN)/python -m pip install -q --force-reinstall --no-deps build/bench-wheel/*.whl
	@touch $@

bench: $(BENCH_VENV)/.built ## rowmill beside its peers (BENCH_ARGS="--scale 0.1" for a quick run)
	$(BENCH_BIN)/python benches/python/run.py $(BENCH_ARGS)

bench-rust: ## The criterion benches of the core's hot loops
	cargo bench --locked -p rowmill-benches

$(DOCS_VENV)/.installed: pyproject.toml
	test -x $(DOCS_VENV)/$(SCRIPTS)/python || $(PYTHON) -m venv $(DOCS_VENV)
	env -u PIP_CONSTRAINT $(DOCS_VENV)/$(SCRIPTS)/python -m pip install -q 'pip>=25.1'
	env -u PIP_CONSTRAINT $(DOCS_VENV)/$(SCRIPTS)/python -m pip install -q --group docs
	@touch $@

# Docstrings are read, not imported, so that this builds nothing of Rust. That the examples run, the tests say.
docs: $(DOCS_VENV)/.installed ## The site, into site/
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/$(SCRIPTS)/mkdocs build --strict

clean: ## Remove what the targets made (not Rust's target folder: cargo clean)
	rm -rf $(VENV) $(BENCH_VENV) $(DOCS_VENV) build dist site bench-results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find python -name '*.so' -delete -o -name '*.pyd' -delete
