# make demo: set up and train an MLP and a CNN on real digits.   make test: set up and run the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?= runs

.PHONY: demo test lint benchmark clean

demo: $(VENV)/.demo
	$(BIN)/minigrad train --model mlp --data auto --seed 0 --out $(OUT)/mlp
	$(BIN)/minigrad train --model cnn --data auto --seed 0 --out $(OUT)/cnn

# one BLAS thread a worker: several pools on the same cores wait for each other
test: $(VENV)/.dev
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev
	$(BIN)/ruff check .

benchmark: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/engine.py
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/benchmarks/calculus.py

$(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "minigrad needs Python 3.10 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "could not make a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info .pytest_cache .ruff_cache .hypothesis
