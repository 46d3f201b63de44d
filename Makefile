# Every target sets itself up: a Python 3.10 or newer, git and make are all that has to be there.
PYTHON ?= python3
BIN := .venv/bin
# Three at a time: most wait for real processes to start and to end, a third of a processor each, and many watch the
# clock while they do, so two processors are left some room.
JOBS ?= 3
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help environment demo test check lint types proto-check bench proto test-docker test-pythons fuzz clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

environment:
	@$(PYTHON) scripts/environment.py

demo: environment ## start a small real fleet on this machine and walk through the main verbs
	@$(BIN)/modctl demo --fast

test: environment ## every test but those that need a Docker engine
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

check: lint types proto-check ## style, types, the API's lint, drift of the stubs, who imports whom, waits and waivers without a reason
	$(BIN)/python -m pytest -q tests/test_import_law.py tests/test_waivers.py tests/agent/test_waits.py

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: environment
	$(BIN)/mypy agent client scripts

proto-check: environment
	$(BIN)/buf lint proto
	$(BIN)/python scripts/stubs.py --check

bench: environment ## measure what we promise about cost and speed
	$(BIN)/python tests/bench/run.py

proto: environment ## make the stubs from the .proto files
	$(BIN)/python scripts/stubs.py

test-docker: environment ## the same on containers with their own addresses
	MODCTL_TEST_DOCKER=1 $(BIN)/python -m pytest -q -m docker tests/e2e $(PYTEST_ARGS)

test-pythons: environment ## the tests on every Python 3.10-3.13 found, and with the oldest libraries
	$(BIN)/python scripts/pythons.py

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= frames names policies change_sets hosts archives audit_lines calls agents
fuzz: environment ## feed every parser and every RPC with bytes, guided by coverage (FUZZ_SECONDS each)
	$(BIN)/python -m pip install -q atheris
	@for target in $(FUZZ_TARGETS); do $(BIN)/python tests/fuzz/run.py $$target $(FUZZ_SECONDS) || exit 1; done

clean: ## take away what was made here
	rm -rf .venv .tools .certificates .fuzz dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
