# The commands of this repository. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run demo test check openapi bench soak audit rust node

RUST_VERSION := 1.94
NODE_VERSION := 20
LISTEN ?= 127.0.0.1:8080
DATA ?= data
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## List the commands
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 15

run: rust node ## Build Steward and start it on http://127.0.0.1:8080 with SQLite under ./data
	@echo "Building Steward (the first time takes some minutes) ..."
	cargo build --release --locked --bin steward
	mkdir -p "$(DATA)"
	exec "$(TARGET)/release/steward" serve --data-dir "$(DATA)" --listen "$(LISTEN)"

demo: DATA = data/demo
demo: rust node ## Start Steward with simulated providers, clients and a month of history, under ./data/demo
	@echo "Building Steward (the first time takes some minutes) ..."
	cargo build --release --locked --bin steward
	mkdir -p "$(DATA)"
	exec "$(TARGET)/release/steward" demo --data-dir "$(DATA)" --listen "$(LISTEN)"

test: rust ## Everything: style, lints, tests on both databases, SDK conformance, kill -9, OpenAPI fuzzing, the console in a browser
	tests/everything.sh

check: rust node ## The quick part of `make test`: style, lints, the tests that need no PostgreSQL and no browser
	tests/everything.sh quick

openapi: rust node ## Write static/openapi.json and the console's types anew, after a change of handlers
	mkdir -p build
	cargo run --quiet --locked --bin steward -- openapi >build/openapi.json
	mv build/openapi.json static/openapi.json
	[ -d static/node_modules ] || npm ci --prefix static
	npm run --silent --prefix static types

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

# CONSOLE_SKIP_WEB=1 builds without the console, and without Node.
node:
	@[ -n "$${CONSOLE_SKIP_WEB:-}" ] || { command -v node >/dev/null && command -v npm >/dev/null; } || { \
		echo "Steward's console is built with Node $(NODE_VERSION) or newer, and no Node with npm was found. Install it from https://nodejs.org and run make again, or build without the console: CONSOLE_SKIP_WEB=1 make run" >&2; exit 1; }
	@[ -n "$${CONSOLE_SKIP_WEB:-}" ] || node -e 'process.exit(parseInt(process.versions.node) >= $(NODE_VERSION) ? 0 : 1)' || { \
		echo "Steward's console is built with Node $(NODE_VERSION) or newer; this is $$(node --version). Update it (https://nodejs.org) and run make again, or build without the console: CONSOLE_SKIP_WEB=1 make run" >&2; exit 1; }
