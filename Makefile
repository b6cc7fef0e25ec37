# make demo      runs the main job on real data
# make test      runs every check
# make test-all  and the slow proofs
# make bench     measures everything, draws what it measured (half an hour)
# make sanitize  runs the native core's tests under ASan and UBSan
# Each makes .venv first if it must; nothing has to be there but Python 3.11+.

PY  ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # tests start hundreds of processes

.PHONY: demo test test-all lint fix wire bench sanitize
demo: .venv/stamp
	$(BIN)/safehouse demo

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-all: lint
	$(BIN)/python -m pytest -m "slow or not slow"

lint: .venv/stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/stamp
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	mkdir -p benchmarks/results
	$(BIN)/python benchmarks/peers.py --json benchmarks/results/peers.json
	$(BIN)/python benchmarks/online.py --json benchmarks/results/online.json
	$(BIN)/python benchmarks/comparison.py --json benchmarks/results/comparison.json
	$(BIN)/python benchmarks/native.py --json benchmarks/results/native.json
	$(BIN)/python benchmarks/ledger.py --json benchmarks/results/ledger.json
	$(BIN)/python benchmarks/replay.py --json benchmarks/results/replay.json
	for n in 3000 30000 100000; do \
	    $(BIN)/python benchmarks/district.py --subjects $$n \
	        --json benchmarks/results/district-$$n.json || exit 1; done
	$(BIN)/python benchmarks/plots.py

sanitize: .venv/stamp
	.ci/sanitize

wire: .venv/stamp
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. \
	    --grpc_python_out=. node/wire/v1/*.proto

.venv/stamp: pyproject.toml setup.py
	$(PY) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
