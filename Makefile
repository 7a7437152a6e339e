# make demo: the whole way on real data.   make test: everything that CI checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.PHONY: help install demo docs test lint bench bench-relbench bench-sampling clean

help:
	@echo "make demo     install Forekey and run the whole way on real data"
	@echo "make test     install the development tools, lint, type-check, test"
	@echo "make install  install Forekey with its demo data into $(VENV)"
	@echo "make lint     ruff, mypy, import contracts"
	@echo "make docs     the documentation as a site, in site/"
	@echo "make bench    the benchmarks, in their quick version; bench-relbench and bench-sampling: these two in full"

$(VENV)/installed-demo: pyproject.toml constraints.txt
	@echo "Creating $(VENV) and installing Forekey with its demo data (a minute or two) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt
	@echo "Creating $(VENV) and installing Forekey with its development tools (a minute or two) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/installed-demo

install: $(VENV)/installed-demo

demo: $(VENV)/installed-demo
	@$(BIN)/forekey demo $(DEMO_ARGS)

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

docs: $(VENV)/installed-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Built site/. Read it with search: $(BIN)/python -m http.server --directory site 8080, then http://127.0.0.1:8080"

test: lint
	@$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

bench-relbench: $(VENV)/installed-demo
	@$(BIN)/python benchmarks/relbench.py $(BENCH_ARGS)

bench-sampling: $(VENV)/installed-demo
	@$(BIN)/python benchmarks/sampling.py $(BENCH_ARGS)

bench: $(VENV)/installed-demo
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script --quick || exit 1; done

clean:
	rm -rf $(VENV) forekey-demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis
