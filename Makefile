# What people and machines run. Everything works from a fresh clone with a Rust toolchain on Debian 12.

SHELL := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Where nobody looks on, the lock file decides and nothing may change it.
LOCKED := $(if $(CI),--locked)
# What the fault harness runs, and no more: each optimised program takes its time to link.
BUILD_CHAOS := cargo build $(LOCKED) --release -p broker -p adapters -p tests --bin broker --bin adapter --bin chaos
BUILD_BENCH := cargo build $(LOCKED) --release -p broker -p bench --bin broker --bin bench
BUF := npx --yes @bufbuild/buf@1.75.0
# Built once, in a minute or two, where the machine has none: fences, licences and sources are part of every check.
DENY_VERSION := 0.20.2
TOOLS := $(abspath $(TARGET))/tools

# Backtraces of panics are useful; those of errors that a test returns bury their text.
export RUST_LIB_BACKTRACE ?= 0

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help test demo bench chaos soak backlog storm fuzz fmt lint advisories install packages

help: ## This list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

test: install lint ## Every check and test, on real servers that are started for it
	cargo build $(LOCKED) --workspace --bins --tests
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; \
		$(TARGET)/debug/with-servers -- cargo nextest run $(LOCKED) --workspace && \
		cargo test $(LOCKED) --workspace --doc --quiet; \
	else \
		set -x; \
		$(TARGET)/debug/with-servers -- cargo test $(LOCKED) --workspace --no-fail-fast; \
	fi
	@echo "a short look for inputs that break a parser"
	@timeout 600 tests/fuzz/run
	@echo "speed of unoptimised programs, to look at; make bench measures the others"
	-@timeout 240 $(TARGET)/debug/bench --quick
	-@timeout 240 $(TARGET)/debug/bench counts

demo: packages ## The main road on real caches; KEEP=1 leaves it running
	cargo build $(LOCKED) --workspace --exclude bench --bins
	@exec $(TARGET)/debug/demo $(if $(KEEP),--keep)

bench: install ## The table of measurements; QUICK=1 in a minute, MINUTES=10 at full speed, STORE=1 with a growing store
	$(BUILD_BENCH)
	@exec $(TARGET)/release/bench $(if $(QUICK),--quick) $(if $(MINUTES),--minutes $(MINUTES) $(if $(CLIENTS),--clients $(CLIENTS))) $(if $(STORE),store)

chaos: install ## Breaks everything under load; SECONDS=180 repeats the faults for that long
	$(BUILD_CHAOS)
	@exec $(TARGET)/release/chaos run $(if $(SECONDS),--seconds $(SECONDS))

soak: install ## Steady load for MINUTES=60; fails when memory or open files grow
	$(BUILD_CHAOS)
	@exec $(TARGET)/release/chaos soak --minutes $(or $(MINUTES),60)

backlog: install ## A participant is away while EXECUTIONS=1000000 wait for it
	$(BUILD_CHAOS)
	@exec $(TARGET)/release/chaos backlog --executions $(or $(EXECUTIONS),1000000)

fuzz: install ## Fuzzes every parser, RUNS=1000000 inputs each; a short run is part of `make test`
	RUNS=$(or $(RUNS),1000000) tests/fuzz/run

storm: install ## A participant asks for ten times its quota; the others must not notice
	$(BUILD_CHAOS)
	@exec $(TARGET)/release/chaos storm --seconds $(or $(SECONDS),60)

fmt: ## Formats all code
	cargo fmt --all

lint: ## Format, clippy, dependency fences, proto style
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	@export PATH="$$PATH:$(TOOLS)/bin"; \
	if ! cargo deny --version >/dev/null 2>&1; then \
		echo "lint: builds cargo-deny, once"; \
		cargo install --locked --debug --quiet --root $(TOOLS) --version $(DENY_VERSION) cargo-deny || true; \
	fi; \
	if cargo deny --version >/dev/null 2>&1; then \
		set -x; cargo deny --log-level error check bans licenses sources; \
	else \
		echo "lint: SKIPPED: cargo-deny cannot be had; licences and sources are not checked (fences are, by a test)"; \
	fi
	@if $(BUF) --version >/dev/null 2>&1; then \
		set -x; $(BUF) lint proto; \
	else \
		echo "lint: SKIPPED: buf cannot be had, for it comes by npx (Debian: npm); the proto files' style is not checked"; \
	fi

advisories: ## Known vulnerabilities of the dependencies; fetches their database
	cargo deny check advisories

install: ## Debian packages that are missing, as root or by sudo after saying so
	@tests/install

packages:
	@tests/install demo
