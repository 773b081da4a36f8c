# Run `make` alone to list the targets. Every target that a person calls has a `##` line; a test holds that.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JARS := .kafka/jars
PYTEST_ARGS ?=
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.installed ## Build .venv from the hash-checked lock file

.PHONY: check-python
check-python:
	@command -v $(PYTHON) >/dev/null \
		|| { echo "Python 3.11 or newer is missing. Debian: apt-get install python3 python3-venv; macOS: brew install python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11. Debian: apt-get install python3 python3-venv; macOS: brew install python; then: make PYTHON=..."; exit 1; }

# The lock file is complete, so pip has nothing to resolve; older ones refuse `pandas[parquet]`, which evidently asks for,
# in hash-checking mode. `pip check` then holds that nothing is missing.
$(VENV)/.requirements: requirements-dev.txt | check-python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/python -m pip check
	@touch $@

# Without isolation and dependencies: whatever runs here was in the lock file and had its hash checked.
$(VENV)/.installed: $(VENV)/.requirements pyproject.toml
	$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: lock
lock: $(VENV)/.installed ## Compile requirements.txt and requirements-dev.txt anew (LOCK_ARGS=--upgrade for newer versions)
	$(LOCK) $(LOCK_ARGS) --extra build --extra postgres --output-file requirements.txt
	$(LOCK) $(LOCK_ARGS) --extra dev --constraints requirements.txt --output-file requirements-dev.txt
