# make demo      the whole loop in simulation; options: make demo ARGS="--episodes 1"
# make test      linters, types and the tests, but for those marked slow
# make test-all  all of them: every contract on all tasks, whole trainings
# make fuzz      mutated files, texts and messages for ten minutes; ARGS="--seconds 60 bags"
# make lint      linters and types
# make clean     removes what these made, but neither runs/ nor the fetched weights
#
# The first call makes a virtual environment; PYTHON=python3.12 chooses its interpreter. PyPI's
# torch for Linux carries CUDA (several GB). Where pip is told of a place that has the CPU build
# of the same version, it takes that: set PIP_FIND_LINKS to a folder of wheels, or
# PIP_EXTRA_INDEX_URL to an index, before the first call.

# A sourced ROS 2 gets an environment of its own, on top of the distribution's rclpy.
VENV ?= .venv$(if $(ROS_DISTRO),-$(ROS_DISTRO))
READY := $(VENV)/.ready
BIN := $(VENV)/bin

.PHONY: help setup demo test test-all fuzz lint weights clean

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(READY)

$(READY): setup.py constraints.txt scripts/setup.sh
	@scripts/setup.sh $(VENV)

demo: $(READY)
	@$(BIN)/samg demo $(ARGS)

# Plugins that a sourced ROS 2 brings (launch_testing) do not work with this pytest. Two workers,
# as most tests keep one core busy or wait; a file's tests stay together, for their fixtures.
WORKERS := -p xdist.plugin -n 2 --dist loadfile --no-loadscope-reorder

# One thread each: on two cores more of them wait for each other, for half as long again.
PYTEST = PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_NUM_THREADS=1 $(BIN)/pytest $(WORKERS) --durations=30

test: lint weights
	$(PYTEST) -m "not slow" $(ARGS)

test-all: lint weights
	$(PYTEST) $(ARGS)

fuzz: weights
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

weights: $(READY)
	$(BIN)/samg weights fetch

clean:
	rm -rf $(VENV) build install log *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
