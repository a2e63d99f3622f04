# Thin: each target is a few commands that also work by hand. The two to know are `make run` and `make test`.
# They install what is missing (.ci/setup) and say what.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Rust by rustup is here, also in a shell that was opened before it was installed.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

WATCHBELL := target/release/watchbell
# More words for the program: make run ARGS='--config examples/quickstart/watchbell.yaml'
ARGS ?=
SCRIPTS := .ci/run .ci/setup .ci/slow-peers

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build, then watch this machine: http://127.0.0.1:9797
	$(WATCHBELL) run $(ARGS)

.PHONY: demo
demo: build ## build, then replay a small fleet with incidents in it
	$(WATCHBELL) demo $(ARGS)

.PHONY: build
build: ## the release binary, target/release/watchbell
	@.ci/setup build
	cargo build --release --bin watchbell

.PHONY: check
check: ## what is quick: format, lints, rules of the repository, scripts, examples
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask tidy
	cargo run --quiet -- rules test
	for config in examples/*/watchbell.yaml; do cargo run --quiet -- check --config "$$config"; done
	if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo "shellcheck is not installed: scripts not checked"; fi
	if command -v promtool >/dev/null; then promtool check rules rules/prometheus/*.alerts.yaml rules/prometheus/*.recording.yaml && promtool test rules rules/prometheus/*.test.yaml; fi

.PHONY: test
test: setup-test check ## install the peers that tests need, check, and run all quick tests
	cargo test --workspace

.PHONY: test-all
test-all: ## also the slow tests: newer peers, long runs
	@.ci/setup test
	@.ci/slow-peers
	$(MAKE) check
	cargo test --workspace -- --include-ignored

.PHONY: setup-test
setup-test:
	@.ci/setup test

.PHONY: bench
bench: ## benchmarks of every step of the path
	@.ci/setup build
	cargo bench --workspace --benches

# More words for the benchmark: make performance ARGS='--series 200000'
.PHONY: performance
performance: ## the table "from outside" of docs/performance.md: a million series, restarts; beside VictoriaMetrics where it is installed
	@.ci/setup build
	cargo bench -p watchbell --bench service -- $(ARGS) $$(command -v victoria-metrics | sed 's/^/--beside /')

# Folder of labelled sets, as docs/bench.md describes them: make accuracy DATA=~/sets
DATA ?=
.PHONY: accuracy
accuracy: has-data build ## the tables of docs/accuracy.md, from the labelled sets in DATA; a page with plots in target/accuracy
	$(WATCHBELL) bench "$(DATA)" --format markdown --out target/accuracy

.PHONY: has-data
has-data:
	@test -n "$(DATA)" || { echo "say where the labelled sets are: make accuracy DATA=FOLDER (docs/bench.md has their layout)"; exit 1; }

.PHONY: reference
reference: ## write docs/reference from the tables in the code
	cargo run --quiet -- reference --out docs/reference

.PHONY: static
static: ## a binary without shared libraries, as in the container image
	@.ci/setup static
	cargo build --release --bin watchbell --target "$$(uname -m)-unknown-linux-musl"

.PHONY: image
image: ## the container image watchbell:latest
	docker build -t watchbell .
