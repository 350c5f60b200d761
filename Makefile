# `make help` lists the targets. A machine with Python 3.11 or later and an index for pip is enough:
# every target makes the virtual environment it needs, and remakes it only when the metadata change.

PYTHON ?= python3
VENV ?= .venv
OLDEST_VENV ?= .venv-oldest
SKROBUST_DATA ?= ../shared/data
PYTEST_WORKERS ?= auto
PYTEST_ARGS ?=
DEMO_REPORT ?= demo-report.html

BIN := $(VENV)/bin
OLDEST_BIN := $(OLDEST_VENV)/bin
PIP := python -m pip install --quiet --disable-pip-version-check

# One thread per process, because the tests already run in one process per core; SCIPY_ARRAY_API
# keeps scikit-learn from skipping its array-API checks.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 POLARS_MAX_THREADS=1 \
	SCIPY_ARRAY_API=1 MPLBACKEND=Agg
# loadgroup: tests that share an expensive session fixture ask for one worker (xdist_group).
# -W: a warning is an error; -n: so is a reference without a target. The build needs no network.
SPHINX := $(BIN)/python -m sphinx -b html -W --keep-going -n
PYTEST := python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)
# Each test has its place in one of these runs: FAST, SLOW, and those of the data and the browser.
FAST := not (slow or peers or data or browser)
SLOW := (slow or peers) and not (data or browser)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test-site test test-slow test-all test-browser check-data test-data test-common test-oldest test-oldest-common lint format docs docs-quick wheel clean

help:
	@echo "make demo                the command-line demonstration, in $(VENV); it writes $(DEMO_REPORT)"
	@echo "make test                lint, then the tests that take little time"
	@echo "make test-slow           those that take long, and comparisons with cleanlab"
	@echo "make test-all            lint, then all tests"
	@echo "make test-browser        the review page in Chromium (apt-get install chromium)"
	@echo "make test-data           the tests on real data (SKROBUST_DATA=$(SKROBUST_DATA))"
	@echo "make test-common         the checks that every estimator passes, of slow defaults as well"
	@echo "make test-oldest         the test suite on the oldest supported stack, in $(OLDEST_VENV)"
	@echo "make test-oldest-common  these checks of one instance of each estimator, on that stack"
	@echo "make lint | format       ruff and types: check | ruff: mend"
	@echo "make docs                the documentation site, into docs/_build/html (docs-quick: no gallery)"
	@echo "make test-site           the documentation site in Chromium"
	@echo "make wheel               build the wheel into dist/"
	@echo "make clean               remove what these targets made"
	@echo "PYTHON=python3.12 chooses the interpreter, PYTEST_ARGS='-k name' is handed to pytest"

# $(call make-venv,FOLDER): a fresh virtual environment, or a message that says what is missing.
define make-venv
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "error: '$(PYTHON)' was not found; name an interpreter: make PYTHON=python3.11" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: skrobust needs Python 3.11 or later, and '$(PYTHON)' is" \
			"$$("$(PYTHON)" --version 2>&1); name another: make PYTHON=python3.11" >&2; \
		exit 1; }
	@echo "creating $(1)"
	@"$(PYTHON)" -m venv "$(1)" || { \
		echo "error: '$(PYTHON) -m venv' failed; on Debian and Ubuntu it is the package" \
			"python3-venv" >&2; \
		exit 1; }
	@touch "$@"
endef

$(VENV)/.stamp-venv:
	$(call make-venv,$(VENV))

$(OLDEST_VENV)/.stamp-venv:
	$(call make-venv,$(OLDEST_VENV))

$(VENV)/.stamp-report: pyproject.toml constraints.txt $(VENV)/.stamp-venv
	@echo "installing skrobust[report] into $(VENV); the first time takes a minute or two"
	@$(BIN)/$(PIP) -c constraints.txt -e ".[report]"
	@touch "$@"

$(VENV)/.stamp-test: pyproject.toml constraints.txt $(VENV)/.stamp-venv
	@echo "installing skrobust[test] into $(VENV); the first time takes a minute or two"
	@$(BIN)/$(PIP) -c constraints.txt -e ".[test]"
	@touch "$@"

$(OLDEST_VENV)/.stamp-test: pyproject.toml constraints-oldest.txt $(OLDEST_VENV)/.stamp-venv
	@echo "installing skrobust[test] on the oldest stack into $(OLDEST_VENV)"
	@$(OLDEST_BIN)/$(PIP) -c constraints-oldest.txt -e ".[test]"
	@touch "$@"

$(VENV)/.stamp-peers: $(VENV)/.stamp-test
	@echo "installing skrobust[peers] into $(VENV)"
	@$(BIN)/$(PIP) -c constraints.txt -e ".[peers]"
	@touch "$@"

$(VENV)/.stamp-browser: $(VENV)/.stamp-test
	@echo "installing skrobust[browser] into $(VENV)"
	@$(BIN)/$(PIP) -c constraints.txt -e ".[browser]"
	@touch "$@"

$(VENV)/.stamp-docs: pyproject.toml constraints.txt $(VENV)/.stamp-venv
	@echo "installing skrobust[docs] into $(VENV); the first time takes a minute or two"
	@$(BIN)/$(PIP) -c constraints.txt -e ".[docs]"
	@touch "$@"

demo: $(VENV)/.stamp-report
	$(BIN)/skrobust demo --report $(DEMO_REPORT)

test: lint
	$(TEST_ENV) $(BIN)/$(PYTEST) -m "$(FAST)"

test-slow: $(VENV)/.stamp-peers
	$(TEST_ENV) SKROBUST_REQUIRE_PEERS=1 $(BIN)/$(PYTEST) -m "$(SLOW)"

# Without a data folder or a browser, the tests that need them are skipped.
test-all: lint $(VENV)/.stamp-peers
	$(TEST_ENV) SKROBUST_DATA="$(SKROBUST_DATA)" $(BIN)/$(PYTEST)

# One process: the tests share a browser.
test-browser: $(VENV)/.stamp-browser
	$(TEST_ENV) SKROBUST_REQUIRE_BROWSER=1 $(BIN)/python -m pytest $(PYTEST_ARGS) -m browser tests/inspection

check-data:
	@test -d "$(SKROBUST_DATA)" || { \
		echo "error: no data folder at '$(SKROBUST_DATA)'; set SKROBUST_DATA to its path" >&2; \
		exit 1; }

test-data: check-data $(VENV)/.stamp-peers
	$(TEST_ENV) SKROBUST_DATA="$(SKROBUST_DATA)" SKROBUST_REQUIRE_DATA=1 $(BIN)/$(PYTEST) -m data

test-oldest: $(OLDEST_VENV)/.stamp-test
	$(TEST_ENV) SKROBUST_DATA="$(SKROBUST_DATA)" $(OLDEST_BIN)/$(PYTEST)

test-common: $(VENV)/.stamp-test
	SKROBUST_TESTS_INSTANCES=all $(TEST_ENV) $(BIN)/$(PYTEST) tests/test_common.py

test-oldest-common: $(OLDEST_VENV)/.stamp-test
	SKROBUST_TESTS_INSTANCES=first $(TEST_ENV) $(OLDEST_BIN)/$(PYTEST) tests/test_common.py

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_types.py

format: $(VENV)/.stamp-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.stamp-docs
	$(TEST_ENV) $(SPHINX) docs docs/_build/html

test-site: docs $(VENV)/.stamp-browser
	$(TEST_ENV) SKROBUST_REQUIRE_BROWSER=1 SKROBUST_REQUIRE_SITE=1 $(BIN)/python -m pytest \
		$(PYTEST_ARGS) tests/test_site.py

# Shows the scripts of the gallery without running them.
docs-quick: $(VENV)/.stamp-docs
	$(TEST_ENV) $(SPHINX) -t quick docs docs/_build/quick

# build/ is removed first: setuptools would put modules that were deleted since into the wheel.
wheel: $(VENV)/.stamp-test
	rm -rf build
	$(BIN)/python -m build --wheel --no-isolation --outdir dist
	rm -rf build

clean:
	rm -rf $(VENV) $(OLDEST_VENV) build dist skrobust.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -rf $(DEMO_REPORT)
	rm -rf docs/_build docs/generated docs/reference docs/auto_examples docs/sg_execution_times.rst
	rm -rf .coverage .coverage.* htmlcov
	find skrobust tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
