# Every target sets up what it needs; none wants to be told anything first.
PYTHON ?= python3
VENV := .venv
EXTRAS ?= dev
BIN := $(VENV)/bin
SAMPLE := parakeet_coreml/samples/speech.wav

PARITY_VENV := .venv-parity
APP_VENV := .venv-app
LOCK_VENV := .venv-lock
# What `make coverage` runs; COVERED=tests/backends for a part.
COVERED ?=
APP := dist/parakeet-coreml/parakeet-coreml

.PHONY: help run test check fix parity bench ramp traced coverage app app-test lock dist clean
.DEFAULT_GOAL := run

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-10s %s\n", $$1, $$2}'

run: $(VENV)/.run ## transcribe the bundled speech with the built-in model
	$(BIN)/parakeet-coreml progressive-record --model tiny-en --backend onnx --input $(SAMPLE)

test: $(VENV)/.dev ## run the tests
	$(BIN)/python -P -m pytest

check: $(VENV)/.dev ## format, lint, types, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

fix: $(VENV)/.dev ## format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

parity: $(PARITY_VENV)/.parity ## compare every form of tiny-en with PyTorch, stage by stage, and the words
	$(PARITY_VENV)/bin/python -m models.convert.fixtures --check
	$(PARITY_VENV)/bin/python -m models.convert.parity models/tiny_en/checkpoint parakeet_coreml/tiny_en --sound $(SAMPLE) --fewer-bits

bench: $(VENV)/.dev ## print the figures of docs/BENCHMARKS.md for this machine
	$(BIN)/python tests/bench/bench.py

ramp: $(VENV)/.dev ## 60 s of counted samples through a busy recorder (part of the tests at 20 s)
	PARAKEET_RAMP_SECONDS=60 $(BIN)/python -P -m pytest tests/audio -k lost_or_doubled --timeout 300

traced: $(VENV)/.dev ## 60 s of a recording under strace: no internet socket, no file (in the tests 5 s)
	PARAKEET_TRACE_SECONDS=60 $(BIN)/python -P -m pytest tests/host/test_privacy.py -k microphone --timeout 600

coverage: $(VENV)/.dev ## branch coverage, the processes' too: slow, it is no part of the gate
	$(BIN)/python -P -m coverage erase
	-$(BIN)/python -P -m coverage run -m pytest $(COVERED)
	$(BIN)/python -P -m coverage combine --quiet
	$(BIN)/python -P -m coverage report

app: $(APP_VENV)/.app ## freeze the program into dist/parakeet-coreml, which needs no Python
	PYTHONHASHSEED=0 PYINSTALLER_ZLIB_COMPRESSION_LEVEL=0 $(APP_VENV)/bin/python -P -m PyInstaller --noconfirm --log-level WARN \
	  --distpath dist --workpath dist/.work build/parakeet-coreml.spec
	$(APP_VENV)/bin/python -P build/check_bundle.py dist/parakeet-coreml \
	  --report dist/.work/parakeet-coreml/warn-parakeet-coreml.txt

app-test: $(VENV)/.dev ## run the tests of the contract and of the folder on what `make app` made
	PARAKEET_BIN=$(CURDIR)/$(APP) $(BIN)/python -P -m pytest \
	  tests/build/frozen.py tests/host tests/checks tests/examples

lock: $(LOCK_VENV)/.uv ## write requirements-dev.lock anew, for every Python and platform we run on
	rm -f requirements-dev.lock
	$(LOCK_VENV)/bin/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --quiet \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements-dev.lock

dist: $(VENV)/.dev ## make sdist and wheel, man page and completions; try the wheel where nothing else is
	rm -f dist/*.whl dist/*.tar.gz
	$(BIN)/python -P -m build --outdir dist .
	$(BIN)/python -P build/commands.py dist
	build/smoke.sh dist/*.whl $(PYTHON)

clean: ## remove everything that was made
	rm -rf .coverage .coverage.* $(VENV) $(PARITY_VENV) $(APP_VENV) $(LOCK_VENV) dist .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# First what is locked, by hash; then ourselves, with the locked build tool, and what EXTRAS adds.
$(VENV)/.dev: pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
	  --editable '.[$(EXTRAS)]'
	@touch $@

# Of its own: a large program that nothing but `make lock` needs.
$(LOCK_VENV)/.uv:
	$(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@touch $@

# Of its own: PyTorch and coremltools' converters are large, and neither the program nor its tests use them.
$(PARITY_VENV)/.parity: pyproject.toml models/convert/requirements.txt
	$(PYTHON) -m venv $(PARITY_VENV)
	$(PARITY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement models/convert/requirements.txt --editable .
	@touch $@

# Of its own: PyInstaller takes whatever it finds, and the tests bring much that must not get in.
$(APP_VENV)/.app: pyproject.toml
	$(PYTHON) -m venv --clear $(APP_VENV)
	$(APP_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[app]'
	@touch $@
