# make demo: set up and train an MLP and a CNN on real digits.   make test: set up and run the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?= runs

.PHONY: demo test test-kernels lint benchmark clean

demo: $(VENV)/.demo
	$(BIN)/minigrad train --model mlp --data auto --seed 0 --out $(OUT)/mlp
	$(BIN)/minigrad train --model cnn --data auto --seed 0 --out $(OUT)/cnn

# one BLAS thread a worker: several pools on the same cores wait for each other
# each worker begins with half of the files, in order: fixtures, and what is compiled, are mostly made once
PYTEST = OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
SMALL = $(addprefix tests/test_,nn_conv.py nn_pooling.py nn_normalization.py nn_activations.py primitives.py \
	functional.py layers.py optim.py)
WITH_KERNELS = $(sort $(wildcard tests/test_nn*.py) $(SMALL) \
	$(addprefix tests/test_,images_ops.py models.py train.py parity.py))

test: $(VENV)/.dev
	MINIGRAD_KERNELS=compiled $(PYTEST)
	$(MAKE) test-kernels

# what calls kernels, and does not choose them itself, again: with NumPy's; and with the compiled ones from the first
# element on, for its arrays are small
test-kernels: $(VENV)/.dev
	MINIGRAD_KERNELS=reference $(PYTEST) $(WITH_KERNELS)
	MINIGRAD_KERNELS=compiled COMPILED_FROM=1 MINIGRAD_NUM_THREADS=2 $(PYTEST) $(SMALL)

lint: $(VENV)/.dev
	$(BIN)/ruff check .

benchmark: $(VENV)/.dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/benchmarks/engine.py
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
