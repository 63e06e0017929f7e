# `make` alone lists the targets.
.DEFAULT_GOAL := help
# On CI the versions are those of Cargo.lock; at home an edit of a Cargo.toml should not need a second command.
LOCKED := $(if $(CI),--locked)

.NOTPARALLEL:
.PHONY: help setup demo test soak lint fmt bench deny release

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## installs what tests and the demo need, and nothing that is there
	scripts/setup test

demo: ## builds, starts a local PostgreSQL, applies examples/ and shows what came of it
	scripts/setup demo
	cargo build $(LOCKED)
	scripts/demo

test: setup lint ## everything that CI runs: format, lints, all tests on real servers
	cargo test $(LOCKED) --workspace

soak: setup lint ## the same with every server of the matrix, and the crash tests' full number of kills
	TENANTDB_SOAK=1 cargo test $(LOCKED) --workspace -- --include-ignored

lint: ## format and lints, changing nothing
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings

fmt: ## formats the sources
	cargo fmt --all

bench: setup ## the measurements
	cargo bench $(LOCKED) --workspace --features tenantdb/jemalloc --bench '*'

deny: ## licences, sources and duplicates of the dependencies; builds cargo-deny first if it is missing (some minutes)
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	cargo deny --all-features check bans licenses sources

release: ## static binaries for Linux on amd64 and arm64, in dist/ (many minutes)
	scripts/release
