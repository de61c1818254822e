# make PYTHON=python3.12 <target> takes another Python (3.9 - 3.13). Everything is installed into
# $(VENV), and installed again when the Python, setup.py or requirements.txt changed.
PYTHON = python3
VENV = .venv
EXTRAS = test
PYTEST_ARGS =
BIN = $(VENV)/bin

.PHONY: help install install-test demo web test lint learn bench clean

help:
	@echo 'make demo    from nothing to a trained, evaluated and exported network (Garg 2016)'
	@echo 'make web     ONNX Runtime for browsers, with which kdepth serve computes in the page'
	@echo 'make test    the test suite; PYTEST_ARGS="-k warp" picks some'
	@echo 'make lint    ruff and codespell'
	@echo 'make learn   three seeds and the control with shuffled pairs, into docs/learning.csv'
	@echo 'make bench   samples per second of the input pipeline and of the training step'
	@echo 'make clean   removes the environment, builds and caches; runs/ and exports/ stay'
	@echo
	@echo 'PYTHON=$(PYTHON) takes another Python (3.9 - 3.13), VENV=$(VENV) another folder for it.'

demo: install
	$(BIN)/python -m kdepth.synthesize
	$(BIN)/python -m kdepth.train --flagfile=configs/garg.cfg
	$(BIN)/python -m kdepth.evaluate --run=runs/garg --gate=0.2
	$(BIN)/python -m kdepth.export --run=runs/garg
	$(BIN)/python -m kdepth.results

web: install
	$(BIN)/python -m kdepth.serve --fetch

test: install-test
	$(BIN)/python -m pytest --durations=15 $(PYTEST_ARGS)

lint: install-test
	$(BIN)/ruff check --output-format=concise .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

learn: install
	$(BIN)/python benchmarks/learn.py

bench: install
	$(BIN)/python benchmarks/training.py

clean:
	rm -rf build dist kdepth.egg-info .pytest_cache .ruff_cache .hypothesis
	find kdepth tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -e $(VENV)/kdepth-python ]; then echo 'rm -rf $(VENV)'; rm -rf $(VENV); fi

# The environment notes what it was made from in two files, so that a second call is instant.
install:
	@set -e; \
	version=`$(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'`; \
	case $$version in 3.9|3.10|3.11|3.12|3.13) ;; \
	*) echo "make: $(PYTHON) is Python $$version; kdepth needs 3.9 - 3.13: make PYTHON=python3.12 ..." >&2; exit 1;; esac; \
	if [ -e $(VENV)/kdepth-python ] && [ "`cat $(VENV)/kdepth-python`" != "$$version" ]; then \
		echo "== $(VENV) was made for Python `cat $(VENV)/kdepth-python`; making it anew for $$version"; rm -rf $(VENV); fi; \
	if [ ! -e $(VENV)/kdepth-python ]; then \
		if [ -e $(VENV) ] && [ -n "`ls -A $(VENV)`" ]; then \
			echo "make: $(VENV) is there already and not kdepth's own; choose another with VENV=..." >&2; exit 1; fi; \
		echo "== $(VENV): a virtual environment for Python $$version"; \
		$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
			echo "make: $(PYTHON) cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }; \
		echo $$version > $(VENV)/kdepth-python; fi; \
	made=`cat setup.py requirements.txt | cksum`; \
	if [ "`cat $(VENV)/kdepth-installed 2>/dev/null`" != "$$made" ]; then \
		echo '== installing kdepth and what it needs, 0.6 GB to download'; \
		rm -f $(VENV)/kdepth-extras; \
		$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt; \
		$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -e .; \
		echo "$$made" > $(VENV)/kdepth-installed; fi

install-test: install
	@set -e; \
	if [ "`cat $(VENV)/kdepth-extras 2>/dev/null`" != '$(EXTRAS)' ]; then \
		echo '== installing the extras $(EXTRAS)'; \
		$(BIN)/python -m pip install --disable-pip-version-check -e '.[$(EXTRAS)]'; \
		echo '$(EXTRAS)' > $(VENV)/kdepth-extras; fi
