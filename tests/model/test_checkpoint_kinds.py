"""Files that are no weights are named by what they are; those of PyTorch with the command that converts them."""

import gzip
import io
import json
import pickle
import re
import shlex
import tarfile
import zipfile
import zlib

import numpy as np
import paddle
import pytest
from PIL import Image
from safetensors.numpy import save as safetensors

import convert_torch_weights
from chexnet import model
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.checkpoint.file_kinds import convert_command
from chexnet.training import resume, run_state

ARRAY = np.ones((3, 2), "f4")


def saved(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(**entries: bytes) -> bytes:
    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)

    return saved(write)


def tarred() -> bytes:
    def write(file):
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"), io.BytesIO())

    return saved(write)


def image(kind: str) -> bytes:
    return saved(lambda file: Image.fromarray(np.zeros((8, 8), "u1")).save(file, kind))


def program(tmp_path) -> dict[str, bytes]:
    """What `paddle.jit.save` writes."""
    layer = paddle.nn.Linear(3, 2)
    paddle.jit.save(layer, str(tmp_path / "net"), input_spec=[paddle.static.InputSpec([None, 3], "float32")])
    return {path.suffix: path.read_bytes() for path in tmp_path.iterdir() if path.stem == "net"}


PAGE = b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 28324649\n"
KINDS = {
    "empty": (b"", "is empty; expected weights"),
    "zeros": (bytes(4096), "a file that begins with zeros"),
    "html": (PAGE, "a web page"),
    "git-lfs": (POINTER, "a Git LFS pointer in place of the file: git lfs pull"),
    "text": (b"404 not found\n", "a text that begins with '404 not found"),
    "utf-8": ("权重不在这里".encode() * 900, "a text that begins with '权"),
    "json": (b'{"crop": 224}', "a JSON text"),
    "png": (image("PNG"), "a PNG image"),
    "jpeg": (image("JPEG"), "a JPEG image"),
    "tiff": (image("TIFF"), "a TIFF image"),
    "dicom": (bytes(128).replace(b"\0", b"\1") + b"DICM" + bytes(40), "a DICOM file"),
    "pdf": (b"%PDF-1.7\n", "a PDF document"),
    "npz": (saved(lambda file: np.savez(file, w=ARRAY)), r"an archive of NumPy arrays \(\.npz\)"),
    "npy": (saved(lambda file: np.save(file, ARRAY)), r"an array of NumPy \(\.npy\)"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    "keras": (zipped(**{"config.json": b"{}", "model.weights.h5": b""}), "a Keras model"),
    "gguf": (b"GGUF" + bytes(50), "a GGUF file"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(50), "a TensorFlow Lite model"),
    "zip": (zipped(**{"model.pdparams": b"x"}), "a zip archive of 1 files, the first of them 'model.pdparams'"),
    "half a zip": (zipped(a=bytes(9000))[:500], "a zip archive .* whose end is missing"),
    "zlib": (zlib.compress(bytes(99)), "a zlib stream"),
    "gzip": (gzip.compress(b"x"), "a gzip archive: unpack it first"),
    "tar": (tarred(), "a tar archive: unpack it first"),
    "half a safetensors": (safetensors({"w": ARRAY})[:30], r"the beginning of a \.safetensors file"),
    "unknown": (b"\x07\x93\xff\xfe" * 40, "a file of an unknown kind"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["model.pdparams", "model.pth.tar", "model.safetensors", "model"])
def test_what_is_no_weight_file_is_named_whatever_it_is_called(kind, name, tmp_path):
    data, said = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: (is )?{said}") as caught:
        checkpoint.read_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert not re.search("damaged|truncated|PERSID|convert it", message) or kind == "half a zip"


def test_an_exported_program_is_named(tmp_path):
    for suffix, data in program(tmp_path).items():
        (tmp_path / "given.pdparams").write_bytes(data)
        if suffix in (".pdmodel", ".pdiparams", ".json"):
            with pytest.raises(
                InputError, match=r"an exported Paddle program|the weights of an exported Paddle program"
            ):
                checkpoint.read_weights(tmp_path / "given.pdparams")


def test_an_onnx_network_is_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "graph", [], [])
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph, producer_name="pytorch").SerializeToString())
    with pytest.raises(InputError, match="an ONNX network"):
        checkpoint.read_weights(tmp_path / "a.onnx")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("name", ["model.pth.tar", "m-30012018.ckpt", "it's a model.pdparams", "weights"])
def test_a_file_of_pytorch_comes_with_the_command_that_converts_it(torch, is_zip, name, tmp_path):
    path = tmp_path / "my models" / name
    path.parent.mkdir()
    torch.save({"state_dict": {"w": torch.ones(2)}}, path, _use_new_zipfile_serialization=is_zip)
    (tmp_path / "my models" / "model.json").write_text("{}")  # not to be replaced
    before = set(path.parent.iterdir())
    for read in (checkpoint.read_weights, checkpoint.load, run_state.load, model.load, model.open_checkpoint):
        with pytest.raises(InputError, match="is a PyTorch file; convert it: python convert_torch_weights") as caught:
            read(path)
    with pytest.raises(InputError, match="is a PyTorch file; convert it"):
        model.init_weights(model.CheXNet(2, "lenet"), str(path))
    words = shlex.split(str(caught.value).partition("convert it: ")[2])
    args = convert_torch_weights.build_parser().parse_args(words[2:])
    assert args.torch_ckpt == str(path)
    output = tmp_path / "my models" / args.output
    assert output.suffix == ".pdparams"
    assert not {output, output.with_suffix(".json")} & before


def test_the_pickle_out_of_a_file_of_pytorch_is_told(torch, tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        (tmp_path / "data.pkl").write_bytes(archive.read(name))
    with pytest.raises(InputError, match="as a part of a PyTorch file does; it was not run"):
        checkpoint.read_weights(tmp_path / "data.pkl")


def test_a_torchscript_program_is_not_said_to_be_convertible(torch, tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(1)), tmp_path / "a.pt")
    with pytest.raises(InputError, match="TorchScript program of PyTorch, which is more than weights"):
        checkpoint.read_weights(tmp_path / "a.pt")


def test_the_command_takes_no_name_that_is_taken(tmp_path):
    source = tmp_path / "model.pth.tar"
    targets = []
    for _ in range(3):
        targets.append(shlex.split(convert_command(source))[-1])
        (tmp_path / "model.json" if len(targets) == 1 else tmp_path / "model_2.pdparams").touch()
    assert targets == [str(tmp_path / name) for name in ("model.pdparams", "model_2.pdparams", "model_3.pdparams")]


def test_weights_of_pytorch_under_the_right_suffix_are_told_by_their_names(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.save_weights({"features.norm0.running_mean": ARRAY, "features.conv0.weight": ARRAY}, path)
    with pytest.raises(
        InputError, match=r"does not fit the network, .* PyTorch calls weights so: python convert_torch"
    ):
        model.load(path)


@pytest.mark.parametrize("content", [".safetensors", ".pdparams"])
def test_the_content_and_not_the_name_says_the_format(content, tmp_path):
    checkpoint.save_weights({"w": ARRAY}, tmp_path / f"a{content}")
    for name in ("b.pdparams", "b.safetensors", "b"):
        (tmp_path / name).write_bytes((tmp_path / f"a{content}").read_bytes())
        np.testing.assert_array_equal(checkpoint.read_weights(tmp_path / name)["w"], ARRAY)


def test_a_message_is_never_more_than_a_screen(tmp_path):
    weights = {f"some.{place}.{'long' * 30}.name": ARRAY for place in range(700)}
    checkpoint.save_weights(weights, tmp_path / "a.pdparams")
    with pytest.raises(InputError) as caught:
        model.load(tmp_path / "a.pdparams")
    assert len(str(caught.value)) < 2000
    checkpoint.save(dict.fromkeys(weights, 3), tmp_path / "b.pdparams")
    with pytest.raises(InputError, match="holds 700 entries that are not arrays") as caught:
        model.load(tmp_path / "b.pdparams")
    assert len(str(caught.value)) < 2000


def test_what_follows_a_pickle_is_counted_and_no_cause_is_named(tmp_path):
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"w": ARRAY}, 4) + b"1234")
    with pytest.raises(InputError, match=r": 4 bytes follow its content, expected none or its checksum$"):
        checkpoint.read_weights(tmp_path / "a.pdparams")
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"w": ARRAY}, 4)[:-9])
    with pytest.raises(InputError, match="not a readable Paddle weight file: "):
        checkpoint.read_weights(tmp_path / "a.pdparams")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        model.load(tmp_path)


def test_the_graph_of_a_program_beside_weights_is_not_their_description(tmp_path):
    checkpoint.save_weights({"w": ARRAY}, tmp_path / "model.pdparams")
    (tmp_path / "model.json").write_text('{"base_code":{"magic":"pir"},"program":{"crop":3}}')
    assert checkpoint.read_metadata_file(tmp_path / "model.pdparams") == {}
    (tmp_path / "model.json").write_text(json.dumps({"crop": 3}))
    assert checkpoint.read_metadata_file(tmp_path / "model.pdparams") == {"crop": 3}


def test_what_is_no_state_is_named_and_stays(tmp_path):
    path = tmp_path / "after_epoch_01.state"
    path.write_bytes(PAGE)
    with pytest.raises(InputError, match=r"after_epoch_01\.state: is a web page"):
        resume(path, {})
    assert path.read_bytes() == PAGE
