# What one types. Each target installs what it needs first (docker/install-deps.sh), asks nothing,
# and does again only what has changed.

SHELL := /bin/sh
.DELETE_ON_ERROR:
# Steps of a target build on each other, and cargo uses all cores by itself.
.NOTPARALLEL:

TARGET := $(or $(CARGO_TARGET_DIR),target)
FOREBAY := $(TARGET)/release/forebay
WEB := assets/web
PLAYERS := tests/players
# Longest that a test run may take before it counts as hanging.
TEST_LIMIT := 45m
# More tests at once than cores, since many of them wait; .config/nextest.toml says which.
TEST_THREADS = $$(( 2 * $$(nproc) ))

sources = $(shell find $(1) -type f -not -path '*/node_modules/*' -not -path '*/dist/*')
# A bundle that was deleted is made again, whatever its stamp says.
missing = $(if $(wildcard $(1)/dist),,always)
NPM_CI := npm ci --no-audit --no-fund --loglevel=error

.PHONY: help
help:
	@echo 'make run      build and start the gateway'
	@echo 'make demo     the same, with a moving test picture published into it'
	@echo 'make test     format, lints and all tests'
	@echo 'make bench    peers beside us, a table of ratios'
	@echo 'make soak     the long tests; prints figures'
	@echo 'make build    the release binary only'
	@echo 'make clean    removes what was built; data/ stays'

.PHONY: run demo
run: deps-run build
	@exec $(FOREBAY) serve

demo: deps-run build
	@exec $(FOREBAY) demo

.PHONY: build
build: deps-build web
	@echo '== release binary'
	@cargo build --release --locked

.PHONY: test
test: deps-test web players
	@echo '== format'
	@cargo fmt --check
	@echo '== lints'
	@cargo clippy --locked --all-targets -- -D warnings
	@echo '== tests'
	@cargo build --locked
	@cargo test --locked --doc --quiet
	@[ -n "$$FOREBAY_TEST_LIVEKIT" ] || echo '== SKIPPED: tests against a real livekit-server; FOREBAY_TEST_LIVEKIT names its binary' >&2
	@if cargo nextest --version >/dev/null 2>&1; then \
	  timeout --foreground $(TEST_LIMIT) cargo nextest run --locked --no-fail-fast --test-threads $(TEST_THREADS); \
	else \
	  timeout --foreground $(TEST_LIMIT) cargo test --locked --no-fail-fast --lib --tests; \
	fi

.PHONY: bench
bench: deps-bench build players
	@echo '== benches'
	@cargo bench --locked

.PHONY: soak
soak: deps-soak build players
	@echo '== soak'
	@exec tests/soak/run.sh

# The pages are embedded into the binary; the players are driven by tests in headless Chromium.
.PHONY: web players
web: target/web.stamp
players: target/players.stamp

target/web.stamp: $(call sources,$(WEB)) $(call missing,$(WEB))
	@echo '== web pages'
	@cd $(WEB) && $(NPM_CI) && npm run --silent build
	@mkdir -p target && touch $@

target/players.stamp: $(call sources,$(PLAYERS)) $(call missing,$(PLAYERS))
	@echo '== players for tests'
	@cd $(PLAYERS) && $(NPM_CI) && npm run --silent build
	@mkdir -p target && touch $@

.PHONY: always
always:

.PHONY: deps-run deps-build deps-test deps-bench deps-soak
deps-run deps-build deps-test deps-bench deps-soak: deps-%:
	@docker/install-deps.sh --$*

.PHONY: clean
clean:
	@echo '== clean'
	@cargo clean
	@rm -rf target $(WEB)/dist $(WEB)/node_modules $(PLAYERS)/dist $(PLAYERS)/node_modules
