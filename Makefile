# The commands of this repository. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check bench soak audit rust

RUST_VERSION := 1.94
LISTEN ?= 127.0.0.1:8080
DATA ?= data
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## List the commands
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 15

run: rust ## Build Steward and start it on http://127.0.0.1:8080 with SQLite under ./data
	@echo "Building Steward (the first time takes some minutes) ..."
	cargo build --release --locked --bin steward
	mkdir -p "$(DATA)"
	exec "$(TARGET)/release/steward" serve --data-dir "$(DATA)" --listen "$(LISTEN)"

test: rust ## Everything: style, lints, tests on both databases, SDK conformance, kill -9, OpenAPI fuzzing
	tests/everything.sh

check: rust ## The quick part of `make test`: style, lints, the tests that need no PostgreSQL
	tests/everything.sh quick

bench: rust ## Measure against a bare proxy and a raw insert; prints one table of ratios
	benches/run.sh

soak: rust ## kill -9 fifty times under load on each database, and a database gone for 60 s
	tests/everything.sh soak

audit: rust ## Licences, banned crates and sources of all dependencies
	@command -v cargo-deny >/dev/null || { echo "make audit needs cargo-deny: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny --locked check licenses bans sources

rust:
	@command -v cargo >/dev/null && command -v rustc >/dev/null || { \
		echo "Steward is built with Rust $(RUST_VERSION) or newer, and no Rust was found. Install it from https://rustup.rs and run make again." >&2; exit 1; }
	@version=$$(rustc --version | cut -d' ' -f2); \
	[ "$$(printf '%s\n' "$(RUST_VERSION)" "$$version" | sort -V | head -n 1)" = "$(RUST_VERSION)" ] || { \
		echo "Steward is built with Rust $(RUST_VERSION) or newer; this is $$version. Update it (rustup update stable) and run make again." >&2; exit 1; }
	@command -v cc >/dev/null || { \
		echo "Steward needs a C compiler for SQLite (Debian, Ubuntu: apt-get install build-essential) and none was found." >&2; exit 1; }
