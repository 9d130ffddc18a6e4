# The targets install what they need into .venv first, once. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
DEMO_DATA := dataset/phantom
DEMO_RUN := save/demo
DEMO_LISTS := $(DEMO_DATA)/labels
DEMO_IMAGES := 640
DEMO_EPOCHS := 5
PAGE := exported/page
PAGE_PORT := 8001
PAGE_WORKER := chexnet/web/worker
PAGE_PACKAGES := $(PAGE_WORKER)/node_modules/.package-lock.json
# Input of the prose check: Markdown files, Python files, and folders of Python files.
PROSE := $(filter-out CHANGELOG.md,$(wildcard *.md */*.md */*/*.md)) $(wildcard *.py) chexnet tools benchmarks examples

.PHONY: help demo page test lint bench faults test-oldest clean-demo

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(DEMO_RUN)/final.pdparams ## make a synthetic data set, train, evaluate on ten crops and write a report; two to four minutes
	$(BIN)/python eval.py --data_dir $(DEMO_DATA)/images --test_list $(DEMO_LISTS)/test_list.txt \
	    --ckpt $(DEMO_RUN)/best_model.pdparams --output_json $(DEMO_RUN)/result.json \
	    --output_dir $(DEMO_RUN)/report --val_list $(DEMO_LISTS)/val_list.txt
	@echo
	@echo "The report is $(DEMO_RUN)/report/report.html: open it in a browser. The curves are $(DEMO_RUN)/curves.png."
	@echo "To see the findings of images of $(DEMO_DATA)/images on a web page, run"
	@echo "    $(BIN)/python tools/serve.py --ckpt $(DEMO_RUN)/best_model.pdparams"
	@echo "'make clean-demo' removes the data set and the run."

page: $(INSTALLED_DEV) $(PAGE_PACKAGES) ## build the web page that needs no server, with the synthetic-image network, and open it; Ctrl-C stops
	$(BIN)/python tools/build_page.py --output_dir $(PAGE)
	@echo "Open http://127.0.0.1:$(PAGE_PORT)/ if the browser does not. Ctrl-C stops; the page stays in $(PAGE)."
	-@$(BIN)/python -m webbrowser -t http://127.0.0.1:$(PAGE_PORT)/ > /dev/null 2>&1
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(PAGE) $(PAGE_PORT)

test: $(INSTALLED_DEV) ## run all tests
	$(BIN)/python -m pytest

lint: $(INSTALLED_DEV) ## run ruff, mypy and the prose check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy chexnet
	$(BIN)/python .ci/check_prose.py $(PROSE)

bench: $(INSTALLED_DEV) ## compare speed and memory with plain reference pipelines; twelve minutes on two cores
	$(BIN)/python -m benchmarks

faults: $(INSTALLED_DEV) ## test hundreds of kills, full disks, damaged and malicious files; prints a table
	CHEXNET_FAULTS=full $(BIN)/python -m pytest -q tests/faults

test-oldest: .venv-oldest/.installed ## run all tests on the oldest supported Paddle, with NumPy 1
	.venv-oldest/bin/python -m pytest

clean-demo: ## remove the data set and the run of the demo
	rm -rf $(DEMO_DATA) $(DEMO_RUN)

$(INSTALLED): requirements.txt pyproject.toml
	@echo "Installing Paddle and the other requirements into .venv, once; this takes a minute or two."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(INSTALLED_DEV): requirements-dev.txt $(INSTALLED)
	@echo "Installing the requirements of the tests into .venv, once."
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
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

$(DEMO_LISTS)/test_list.txt: | $(INSTALLED)
	rm -rf $(DEMO_DATA)
	$(BIN)/python tools/make_phantom.py --output_dir $(DEMO_DATA) --images $(DEMO_IMAGES) --size 128 --seed 0 --min_prevalence 0.12

# An interrupted run is resumed; only a finished one has final.pdparams.
$(DEMO_RUN)/final.pdparams: $(DEMO_LISTS)/test_list.txt | $(INSTALLED)
	$(BIN)/python train.py --resume --data_dir $(DEMO_DATA)/images --train_list $(DEMO_LISTS)/train_list.txt \
	    --val_list $(DEMO_LISTS)/val_list.txt --save_dir $(DEMO_RUN) --init random \
	    --resize 72 --crop 64 --batch_size 16 --epoch $(DEMO_EPOCHS) --decay_epochs 4
