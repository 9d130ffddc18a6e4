"""Configurations, their flags, and the field names of earlier versions."""

import dataclasses
import importlib
import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, load_script

from chexnet import cli
from chexnet.config import (
    EvalConfig,
    InferenceConfig,
    LocalizationConfig,
    PredictConfig,
    TrainConfig,
    backbone_registry,
)
from chexnet.config.settings import GROUPS, choices_of

CONFIGS = (TrainConfig, InferenceConfig, EvalConfig, LocalizationConfig, PredictConfig)
SCRIPTS = [
    *(path.name for path in ROOT.glob("*.py")),
    *(f"tools/{path.name}" for path in (ROOT / "tools").glob("*.py")),
    *(f"examples/{name}.py" for name in ("cifar10", "ichallenge_pm", "mnist")),
    *("benchmarks.__main__", "benchmarks.backbones", "benchmarks.dense", "benchmarks.recipes"),
]


def parser_of(script: str) -> cli.Parser:
    module = load_script(script) if script.endswith(".py") else importlib.import_module(script)
    return module.build_parser()


def required(config: type) -> dict[str, str]:
    fields = dataclasses.fields(config)
    return {field.name: "value" for field in fields if field.default is dataclasses.MISSING}


@pytest.mark.parametrize("config", CONFIGS)
def test_without_flags_a_parser_gives_the_defaults(config):
    parser = cli.Parser("A script.")
    cli.add_config_arguments(parser, config)
    argv = [part for name, value in required(config).items() for part in (f"--{name}", value)]
    assert cli.config_from_args(config, parser.parse_args(argv)) == config(**required(config))


@pytest.mark.parametrize("config", CONFIGS)
def test_every_setting_has_a_flag_in_a_group(config):
    parser = cli.Parser("A script.")
    cli.add_config_arguments(parser, config)
    flags = {action.dest: action for action in parser._actions}
    for field in dataclasses.fields(config):
        if field.name != "ensemble":  # --ckpt takes several
            assert field.metadata["group"] in GROUPS
            assert tuple(flags[field.name].choices or ()) == (choices_of(field) or ())
            assert flags[field.name].help


def test_choices_are_read_when_the_parser_is_built(monkeypatch):
    monkeypatch.setitem(backbone_registry.BACKBONES, "my_network", object)
    parser = cli.Parser("A script.")
    cli.add_config_arguments(parser, TrainConfig)
    assert parser.parse_args(["--backbone", "my_network"]).backbone == "my_network"


def test_fields_can_be_chosen_and_changed():
    parser = cli.Parser("A script.")
    cli.add_config_arguments(parser, EvalConfig, {"data_dir", "crops"})
    args = parser.parse_args(["--crops", "1"])
    assert not hasattr(args, "engine")
    assert cli.config_from_args(EvalConfig, args, ckpt="a") == EvalConfig(crops=1, ckpt="a")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_share_the_names_of_flags(script, capsys):
    parser = parser_of(script)
    flags = {flag for action in parser._actions for flag in action.option_strings}
    if script == "tools/build_page.py":
        flags.remove("--out")  # a short form of --output_dir
    assert not flags & {
        "--out",
        "--workers",
        "--json",
        "--classes",
        "--scaling",
        "--network",
        "--epochs",
        "--validation",
    }
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args(["--help"])
    usage = capsys.readouterr().out.split("\n\n")[0]
    assert "resnet50" not in usage


OLD = [
    ("eval.py", "--output", "--output_json"),
    ("eval.py", "--predictions", "--output_csv"),
    ("eval.py", "--report", "--output_dir"),
    ("eval.py", "--classes", "--classes_file"),
    ("predict.py", "--json", "--output_json"),
    ("predict.py", "--csv", "--output_csv"),
    ("train.py", "--scaling", "--normalization"),
    ("convert_torch_weights.py", "--scaling", "--normalization"),
    ("tools/audit_split.py", "--json", "--output_json"),
    ("tools/build_cache.py", "--workers", "--num_workers"),
    ("tools/contact_sheet.py", "--out", "--output"),
    *((f"tools/{name}.py", "--out", "--output_dir") for name in ("build_cache", "download_nih", "export")),
    *((f"tools/{name}.py", "--out", "--output_dir") for name in ("make_phantom", "prepare_lists")),
    ("tools/localize.py", "--output", "--output_json"),
    ("tools/prepare_lists.py", "--train_val", "--train_val_list"),
    ("tools/prepare_lists.py", "--test", "--test_list"),
    ("tools/report.py", "--output", "--output_dir"),
    ("tools/report.py", "--validation", "--val_predictions"),
    ("examples/cifar10.py", "--network", "--backbone"),
    ("examples/mnist.py", "--data", "--data_dir"),
    ("examples/mnist.py", "--epochs", "--epoch"),
    ("benchmarks.__main__", "--json", "--output_json"),
    ("benchmarks.backbones", "--out", "--output_prefix"),
]


@pytest.mark.parametrize(("script", "old", "new"), OLD)
def test_an_old_flag_is_refused_and_the_new_one_is_named(script, old, new, capsys):
    parser = parser_of(script)
    with pytest.raises(SystemExit, match="2"):
        # Required flags are given, so that the old flag is the only error.
        parser.parse_args([*needed(parser), f"{old}=x"])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"unrecognized arguments: {old}" in error
    assert f"did you mean {new}?" in error


def needed(parser: cli.Parser) -> list[str]:
    """Return arguments for everything that the parser requires."""
    argv: list[str] = []
    for group in parser._mutually_exclusive_groups:
        if group.required:
            argv += [group._group_actions[0].option_strings[0], "x"]
    for action in parser._actions:
        if action.required and action.option_strings:
            value = str(next(iter(action.choices))) if action.choices else "x"
            argv += [action.option_strings[0], value]
        elif action.required and action.nargs == "+":
            argv.insert(0, "x")
    return argv


COMMAND = re.compile(r"python (?:-m )?(\S+\.py|benchmarks\S*)((?:\\\n|[^\n`|])*)")


def test_commands_in_the_documents_have_existing_flags():
    pages = [path for depth in ("*.md", "*/*.md", "*/*/*.md") for path in ROOT.glob(depth)]
    pages.remove(ROOT / "CHANGELOG.md")
    pages += [ROOT / script for script in SCRIPTS if script.endswith(".py")]
    parsers = {script: parser_of(script) for script in SCRIPTS}
    parsers["benchmarks"] = parsers["benchmarks.__main__"]
    count = 0
    for page in pages:
        for script, rest in COMMAND.findall(page.read_text(encoding="utf-8")):
            if script in parsers:
                count += 1
                flags = set(re.findall(r"(?<!\S)--\w+", rest))
                assert flags <= parsers[script]._option_string_actions.keys(), f"{page}: {script}{rest}"
    assert count > 60


def test_flags_cannot_be_abbreviated(capsys):
    with pytest.raises(SystemExit, match="2"):
        parser_of("train.py").parse_args(["--keep", "1"])
    assert "unrecognized arguments: --keep" in capsys.readouterr().err


OLD_RUN = {"classes": "names.txt", "scaling": "unit", "optimizer": "momentum", "epoch": 3}


def test_a_configuration_of_an_earlier_version_is_read():
    expected = TrainConfig(classes_file="names.txt", normalization="zero_one", optimizer="sgd", epoch=3)
    assert TrainConfig.from_dict(OLD_RUN) == expected
    assert TrainConfig.from_dict(dataclasses.asdict(expected)) == expected
    with pytest.raises(TypeError, match="unknown_field"):
        TrainConfig.from_dict({"unknown_field": 1})


def test_a_written_configuration_is_read(tmp_path: Path):
    config = TrainConfig(normalization="minus_one_one", decay_epochs=())
    stored = json.loads(config.to_json())
    assert TrainConfig.from_dict({**stored, "decay_epochs": tuple(stored["decay_epochs"])}) == config


def test_help_shows_each_default_once(capsys):
    parser = cli.Parser("A script.")
    parser.add_argument("--lists", nargs="+", default=["a.txt", "50%.txt"], help="list files")
    parser.add_argument("--findings", nargs="+", default=[], help="findings (default: the most probable)")
    parser.add_argument("--notice", default="", help="notice")
    parser.add_argument("--steps", type=int, default=0, help="steps")
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert [line.split("(default: ")[1] for line in shown.splitlines() if "(default: " in line] == [
        "a.txt 50%.txt)",
        "the most probable)",
        "0)",
    ]
