# Run `make` alone to list the targets. Each target that a person calls has a `##` line; a test holds that.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JARS := .kafka/jars
# Handed on: make test PYTEST="tests/unit -k imports", make lock LOCK=--upgrade, make demo DEMO=..., make kafka KAFKA="--port 9192"
PYTEST ?=
LOCK ?=
DEMO ?=
KAFKA ?=
PREREQUISITES := PYTHON="$(PYTHON)" sh deploy/kafka/prerequisites.sh
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: check-tools $(VENV)/.installed $(JARS)/.fetched ## See it work: real flights, a real Kafka, a model that drifts
	$(BIN)/driftd demo $(DEMO)

.PHONY: picture
picture: ## Take the README's picture of the demonstration's last thread (needs Chromium)
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$$(mktemp -d)" \
		--disable-background-networking --disable-component-update --force-device-scale-factor=2 \
		--window-size=760,440 --screenshot=docs/thread.png "file://$(CURDIR)/.demo/thread.html"

.PHONY: test
test: lint ## Lint, check the types, run the tests
	$(BIN)/pytest --numprocesses auto --dist loadgroup $(PYTEST)

.PHONY: lint
lint: $(VENV)/.installed ## Check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed ## Reformat, and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: bench
bench: $(VENV)/.installed $(JARS)/.fetched ## Measure throughput and evaluation, as JSON
	$(BIN)/python -m tests.benchmarks

.PHONY: chaos
chaos: $(VENV)/.installed $(JARS)/.fetched ## Kill everything many times and compare the counts (minutes)
	$(BIN)/pytest -m chaos --timeout 3600 $(PYTEST)

.PHONY: kafka
kafka: $(VENV)/.installed $(JARS)/.fetched ## Run a local Kafka in the foreground, on port 9092
	$(BIN)/python -m deploy.kafka.local $(KAFKA)

.PHONY: kafka-jars
kafka-jars: $(JARS)/.fetched ## Fetch Kafka's jars with Maven

.PHONY: venv
venv: $(VENV)/.installed ## Build .venv from the hash-checked lock file

.PHONY: lock
lock: $(VENV)/.installed ## Compile the lock files anew; LOCK=--upgrade takes newer versions
	$(COMPILE) $(LOCK) --extra build --extra postgres --output-file requirements.txt
	$(COMPILE) $(LOCK) --extra dev --constraints requirements.txt --output-file requirements-dev.txt

.PHONY: clean
clean: ## Remove what make and the tools have built
	rm -rf $(VENV) .kafka build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: check-tools
check-tools:
	@$(PREREQUISITES) python java mvn

.PHONY: check-python
check-python:
	@$(PREREQUISITES) python

# The lock file is complete, so pip has nothing to resolve; older ones refuse `pandas[parquet]`, which evidently asks
# for, in hash-checking mode. `pip check` then holds that nothing is missing.
$(VENV)/.locked: requirements-dev.txt | check-python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/python -m pip check
	@touch $@

# Without an index, dependencies and isolation: whatever runs here was in the lock file and had its hash checked.
$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(JARS)/.fetched: deploy/kafka/pom.xml
	@$(PREREQUISITES) java mvn
	rm -rf $(JARS)
	mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(JARS) -DincludeScope=runtime
	@touch $@
