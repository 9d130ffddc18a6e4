"""Scripts leave the process as it was and print nothing that a terminal would interpret."""

import io
import logging
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from conftest import ROOT, run_python, write_png

import chexnet
from chexnet import cli
from chexnet.cli import process
from chexnet.errors import InputError, printable
from chexnet.model import CheXNet, checkpoint

HOSTILE = "a\x1b[2J\x07\x9b31m\u202egnp.\udcff\u2028\x00b"
"""Clears the screen, rings the bell, sets a color, reverses the text, is not UTF-8 and breaks the line."""


@pytest.fixture
def script(capsys):
    """Return a function that runs a command as a script: exit code, standard output, standard error."""

    def run(command, argv=()):
        parser = cli.Parser("A script.")
        parser.add_argument("--batch_size", type=int)
        parser.add_argument("--output")
        try:
            code = cli.run(parser, command, list(argv))
        except SystemExit as exit_:
            code = exit_.code
        return code, *capsys.readouterr()

    return run


def test_printable_escapes_only_unprintable_characters():
    assert printable("Ätna 肺 😀.png") == "Ätna 肺 😀.png"
    escaped = printable(HOSTILE)
    assert escaped.isprintable()
    assert escaped == r"a\x1b[2J\x07\x9b31m\u202egnp.\udcff\u2028\x00b"
    assert printable("a\tb\nc", keep="\n") == "a\\tb\nc"


def test_all_output_is_escaped(script):
    def command(args):
        print(HOSTILE)
        cli.echo(HOSTILE)
        sys.stdout.write(HOSTILE)
        print(HOSTILE, file=sys.stderr)
        with cli.progress_bar(HOSTILE) as move:
            move(1, 2)
        raise InputError(HOSTILE)

    code, out, err = script(command)
    assert code == 2
    for text, allowed in ((out, "\n"), (err, "\n\r")):
        assert printable(text, allowed) == text
        assert "\\x1b[2J" in text
    assert err.splitlines()[-1].startswith("error: a\\x1b[2J")


def test_hostile_flags_are_shown_escaped(script):
    code, _, err = script(lambda args: None, [f"--batch_size={HOSTILE}"])
    assert code == 2
    assert printable(err, "\n") == err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "suggestion"),
    [
        (["--batchsize", "3"], "did you mean --batch_size?"),
        (["--batch-size=3"], "did you mean --batch_size?"),
        (["--ouput", "x", "--batch_siz", "3"], "did you mean --output and --batch_size?"),
        (["--ouput", "x", "--bach_size", "3"], "did you mean --output and --batch_size?"),
    ],
)
def test_a_misspelled_flag_suggests_the_right_one(script, argv, suggestion):
    code, _, err = script(lambda args: None, argv)
    assert code == 2
    assert suggestion in err


def test_an_unrelated_flag_suggests_none(script):
    assert "did you mean" not in script(lambda args: None, ["--zebra", "1"])[2]


def test_version(script):
    assert script(lambda args: None, ["--version"])[:2] == (0, f"Paddle-CheXNet {chexnet.__version__}\n")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_file_names_pass_through_every_encoding(encoding, tmp_path):
    names = [b"plain.png", "肺.png".encode(), b"latin\xe9.png", b"esc\x1b[31m.png", b"x" * 300]
    (tmp_path / "list").write_bytes(b"\n".join(names) + b"\r\n")
    code = (
        "import os, sys\n"
        "from chexnet import cli\n"
        "def command(args):\n"
        "    for name in cli.lines_of_stdin():\n"
        "        print(name)\n"
        "        print(os.fsencode(name).hex(), file=sys.stderr)\n"
        "sys.exit(cli.run(cli.Parser('x'), command, []))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=(tmp_path / "list").open("rb"),
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding, "LANG": "C", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [bytes.fromhex(line.decode()) for line in done.stderr.splitlines()] == names
    assert rb"esc\x1b[31m.png" in done.stdout
    assert b"\x1b" not in done.stdout


def test_a_run_leaves_the_process_as_it_was(script, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "no" / "home"))
    monkeypatch.delenv("GLOG_minloglevel", raising=False)

    def state():
        loggers = [logging.getLogger(name).level for name in ("matplotlib", "paddle.utils.download")]
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        return list(warnings.filters), dict(os.environ), loggers, handlers, sys.stdout, sys.stderr

    before, during = state(), []
    assert script(lambda args: during.append(state()))[0] == 0
    assert state() == before
    assert during[0] != before


@pytest.mark.skipif(os.name == "nt", reason="no signals of this kind")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
def test_a_signal_ends_a_script_as_ctrl_c_does(script, number):
    before, cleaned = signal.signal(number, signal.SIG_DFL), []

    def command(args):
        try:
            os.kill(os.getpid(), number)
        finally:
            cleaned.append(True)

    try:
        code, _, err = script(command)
    finally:
        signal.signal(number, before)
    assert (code, err, cleaned) == (128 + number, f"ended by {signal.Signals(number).name}\n", [True])


@pytest.mark.skipif(os.name == "nt", reason="no SIGHUP")
def test_an_ignored_signal_stays_ignored(script):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert script(lambda args: os.kill(os.getpid(), signal.SIGHUP))[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("home", ["/dev/null/x", "", "relative", None])
def test_an_unwritable_home_is_replaced_by_a_temporary_one(monkeypatch, tmp_path, home):
    monkeypatch.chdir(tmp_path)
    if home is None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / ".cache").write_text("a file in its place")
        home = str(tmp_path / "home")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(process, "CACHE", "/dev/null/cache" if home == "" else process.CACHE)
    with process.usable_home():
        temporary = Path.home()
        assert str(temporary) != home
        (temporary / ".cache" / "paddle").mkdir(parents=True)
    assert not temporary.exists()
    assert os.environ["HOME"] == home
    assert [path.name for path in tmp_path.iterdir()] in ([], ["home"])


def test_a_writable_home_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with process.usable_home():
        assert os.environ["HOME"] == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_home_and_temporary_folder_the_script_still_runs(monkeypatch, script):
    monkeypatch.setenv("HOME", "/dev/null/x")
    monkeypatch.setattr(process.tempfile, "TemporaryDirectory", _refuse)
    assert script(lambda args: print("ran"))[:2] == (0, "ran\n")


def _refuse(*args, **kwargs):
    raise FileNotFoundError(2, "No usable temporary directory found")


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    """Return the path of random weights of the fastest network."""
    path = tmp_path_factory.mktemp("lenet") / "model.pdparams"
    checkpoint.save(CheXNet(backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 36, "crop": 32})
    return path


def test_every_compiled_engine_works_without_a_home(tmp_path, lenet):
    """Paddle issue 33364: `predict.py` reads, exports and compiles, and writes nothing to the home folder."""
    write_png(tmp_path / "image.png")
    code = (
        "import sys, predict\n"
        "from chexnet.inference import engines\n"
        "for name in ('openvino', 'onnxruntime', 'paddle'):\n"
        "    if not engines.why_unavailable(name):\n"
        "        assert predict.main([*sys.argv[1:], '--engine', name]) == 0, name\n"
    )
    done = run_python(
        "-c", code, str(tmp_path / "image.png"), "--ckpt", str(lenet), "--crops", "10", HOME="/dev/null/x"
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_stream_of_another_type_is_wrapped_too(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with process.safe_output():
        print(HOSTILE)
    assert sys.stdout.getvalue() == printable(HOSTILE) + "\n"
