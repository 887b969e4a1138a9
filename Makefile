# The developer's commands. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := list

# Flags handed on: make demo ARGS="--once --json", make test PKGS=./consumers/... TESTFLAGS="-run Rewind"
ARGS ?=
PKGS ?= ./...
TESTFLAGS ?=
FUZZTIME ?= 10s
BENCH ?= ingest

# The tools have a module of their own, so that go.mod names only what the program needs.
TOOL := go tool -modfile=.ci/tools/go.mod

.PHONY: list build demo test lint fmt fuzz vuln bench stages docs

list:
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/modelwatch
	@echo 'building bin/modelwatch; the first time takes a few minutes'
	@go build -trimpath -o bin/modelwatch ./cmd/modelwatch

demo: build ## stream real flights through real parts on this machine (flags: ARGS="--once")
	@exec bin/modelwatch demo $(ARGS)

test: ## run every test against real Kafka, ClickHouse and NATS (part of it: PKGS=./consumers/...)
	@go run ./internal/testkit/cmd/testservers -- \
		$(TOOL) gotestsum --format pkgname-and-test-fails -- -timeout 25m $(TESTFLAGS) $(PKGS)

lint: ## check style, formatting and imports
	$(TOOL) golangci-lint run

fmt: ## rewrite the Go files as gofumpt writes them
	$(TOOL) golangci-lint fmt

fuzz: ## fuzz every decoder for a while (FUZZTIME=10s each)
	@found=0; \
	while IFS=: read -r file name; do \
		found=1; echo "== $$name in $$(dirname $$file)"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname $$file)" </dev/null; \
	done < <(git ls-files -co --exclude-standard '*_test.go' | xargs grep -oHE '^func Fuzz[A-Za-z0-9_]+' | sed 's/:func /:/'); \
	[ $$found = 1 ] || { echo 'no fuzz tests found' >&2; exit 1; }

# The database is https://vuln.go.dev, or what GOVULNDB names: another address, or file:///PATH of a copy.
# That it cannot be had is told apart from what is found in it: VULNLOG keeps what was said.
VULNLOG ?= /dev/null
vuln: ## look for known vulnerabilities in what the program calls (needs https://vuln.go.dev or GOVULNDB)
	@$(TOOL) govulncheck $(PKGS) 2>&1 | tee $(VULNLOG)

faults: ## hurt the built program in every way and compare (FAULTS=kills,zombies SEED=1 KILLS=200); writes faults.json
	@mkdir -p bin && go build -o bin/faults ./internal/campaign/cmd/faults
	@FAULTS="$(FAULTS)" SEED="$(SEED)" KILLS="$(KILLS)" bin/faults

bench: build ## measure against real servers: BENCH=ingest, evaluate or latency (flags: ARGS="--quick")
	@go -C internal/bench/decoders build -o $(CURDIR)/bin/decoders .
	@go run ./internal/testkit/cmd/testservers -- bash -c 'case $(BENCH) in \
		ingest) of="--kafka $$MODELWATCH_TEST_KAFKA --clickhouse $$MODELWATCH_TEST_CLICKHOUSE --decoders bin/decoders";; \
		latency) of="--kafka $$MODELWATCH_TEST_KAFKA --clickhouse $$MODELWATCH_TEST_CLICKHOUSE --nats $$MODELWATCH_TEST_NATS";; \
		evaluate) of="--clickhouse $$MODELWATCH_TEST_CLICKHOUSE";; \
		*) of=;; esac; \
		exec bin/modelwatch bench $(BENCH) $$of $(ARGS)'

stages: ## measure what each stage costs a row, with allocations (part of it: PKGS=./internal/window)
	go test -run '^$$' -bench . -benchmem $(PKGS)

docs: ## write the JSON Schemas and the page of all keys anew from the Go types
	go generate ./schemas
	go test ./internal/house -run '^TestConfigurationPageIsInStep$$' -update
