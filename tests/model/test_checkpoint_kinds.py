"""Files that are not weights: the error names their kind and, for PyTorch files, the command that converts them."""

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


def bytes_of(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zip_of(**entries: bytes) -> bytes:
    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)

    return bytes_of(write)


def empty_tar() -> bytes:
    def write(file):
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"), io.BytesIO())

    return bytes_of(write)


def image(kind: str) -> bytes:
    return bytes_of(lambda file: Image.fromarray(np.zeros((8, 8), "u1")).save(file, kind))


def program(tmp_path) -> dict[str, bytes]:
    """Return the files of `paddle.jit.save`: suffix -> content."""
    layer = paddle.nn.Linear(3, 2)
    paddle.jit.save(layer, str(tmp_path / "net"), input_spec=[paddle.static.InputSpec([None, 3], "float32")])
    return {path.suffix: path.read_bytes() for path in tmp_path.iterdir() if path.stem == "net"}


PAGE = b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 28324649\n"
KINDS = {
    "empty": (b"", "is empty"),
    "zeros": (bytes(4096), "zeros"),
    "html": (PAGE, "HTML"),
    "git-lfs": (POINTER, "Git LFS .*git lfs pull"),
    "text": (b"404 not found\n", "text.* '404 not found"),
    "utf-8": ("权重不在这里".encode() * 900, "text.* '权"),
    "json": (b'{"crop": 224}', "JSON"),
    "png": (image("PNG"), "a PNG image"),
    "jpeg": (image("JPEG"), "a JPEG image"),
    "tiff": (image("TIFF"), "a TIFF image"),
    "dicom": (bytes(128).replace(b"\0", b"\1") + b"DICM" + bytes(40), "a DICOM file"),
    "pdf": (b"%PDF-1.7\n", "a PDF document"),
    "npz": (bytes_of(lambda file: np.savez(file, w=ARRAY)), r"NumPy .*\.npz"),
    "npy": (bytes_of(lambda file: np.save(file, ARRAY)), r"NumPy .*\.npy"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    "keras": (zip_of(**{"config.json": b"{}", "model.weights.h5": b""}), "a Keras model"),
    "gguf": (b"GGUF" + bytes(50), "a GGUF file"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(50), "a TensorFlow Lite model"),
    "zip": (zip_of(**{"model.pdparams": b"x"}), "zip archive of 1 .*'model.pdparams'"),
    "half a zip": (zip_of(a=bytes(9000))[:500], "zip archive .*PyTorch"),
    "zlib": (zlib.compress(bytes(99)), "a zlib stream"),
    "gzip": (gzip.compress(b"x"), "a gzip archive: unpack it first"),
    "tar": (empty_tar(), "a tar archive: unpack it first"),
    "half a safetensors": (safetensors({"w": ARRAY})[:30], r"\.safetensors file"),
    "unknown": (b"\x07\x93\xff\xfe" * 40, "unknown kind"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["model.pdparams", "model.pth.tar", "model.safetensors", "model"])
def test_files_of_other_kinds_are_identified_under_any_name(kind, name, tmp_path):
    data, expected = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: .*{expected}") as caught:
        checkpoint.read_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert not re.search("damaged|truncated|PERSID|convert it", message) or kind == "half a zip"


def test_an_exported_program_is_identified(tmp_path):
    for suffix, data in program(tmp_path).items():
        (tmp_path / "given.pdparams").write_bytes(data)
        if suffix in (".pdmodel", ".pdiparams", ".json"):
            with pytest.raises(InputError, match="exported Paddle program"):
                checkpoint.read_weights(tmp_path / "given.pdparams")


def test_an_onnx_network_is_identified(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "graph", [], [])
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph, producer_name="pytorch").SerializeToString())
    with pytest.raises(InputError, match="ONNX"):
        checkpoint.read_weights(tmp_path / "a.onnx")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("name", ["model.pth.tar", "m-30012018.ckpt", "it's a model.pdparams", "weights"])
def test_the_error_for_a_pytorch_file_holds_the_command_that_converts_it(torch, is_zip, name, tmp_path):
    path = tmp_path / "my models" / name
    path.parent.mkdir()
    torch.save({"state_dict": {"w": torch.ones(2)}}, path, _use_new_zipfile_serialization=is_zip)
    (tmp_path / "my models" / "model.json").write_text("{}")  # must not be replaced
    before = set(path.parent.iterdir())
    for read in (checkpoint.read_weights, checkpoint.load, run_state.load, model.load, model.open_checkpoint):
        with pytest.raises(InputError, match=r"PyTorch .*: python convert_torch_weights") as caught:
            read(path)
    with pytest.raises(InputError, match=r"PyTorch .*: python convert_torch_weights"):
        model.init_weights(model.CheXNet(2, "lenet"), str(path))
    _, _, command = str(caught.value).partition("convert it: ")
    args = convert_torch_weights.build_parser().parse_args(shlex.split(command)[2:])
    assert args.torch_ckpt == str(path)
    output = tmp_path / "my models" / args.output
    assert output.suffix == ".pdparams"
    assert not {output, output.with_suffix(".json")} & before


def test_the_pickle_inside_a_pytorch_file_is_identified(torch, tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        (tmp_path / "data.pkl").write_bytes(archive.read(name))
    with pytest.raises(InputError, match=r"torch\._utils\..*PyTorch.*convert_torch_weights\.py"):
        checkpoint.read_weights(tmp_path / "data.pkl")


def test_a_torchscript_program_gets_no_conversion_command(torch, tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(1)), tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"TorchScript program(?!.*convert_torch)"):
        checkpoint.read_weights(tmp_path / "a.pt")


def test_the_command_uses_a_free_output_name(tmp_path):
    source = tmp_path / "model.pth.tar"
    targets = []
    for _ in range(3):
        targets.append(shlex.split(convert_command(source))[-1])
        (tmp_path / "model.json" if len(targets) == 1 else tmp_path / "model_2.pdparams").touch()
    assert targets == [str(tmp_path / name) for name in ("model.pdparams", "model_2.pdparams", "model_3.pdparams")]


def test_pytorch_weights_with_our_suffix_are_recognized_by_their_names(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.save_weights({"features.norm0.running_mean": ARRAY, "features.conv0.weight": ARRAY}, path)
    with pytest.raises(InputError, match=r"a\.safetensors: .*PyTorch.*: python convert_torch"):
        model.load(path)


@pytest.mark.parametrize("content", [".safetensors", ".pdparams"])
def test_the_content_decides_the_format_not_the_name(content, tmp_path):
    checkpoint.save_weights({"w": ARRAY}, tmp_path / f"a{content}")
    for name in ("b.pdparams", "b.safetensors", "b"):
        (tmp_path / name).write_bytes((tmp_path / f"a{content}").read_bytes())
        np.testing.assert_array_equal(checkpoint.read_weights(tmp_path / name)["w"], ARRAY)


def test_messages_stay_short_for_many_names(tmp_path):
    weights = {f"some.{number}.{'long' * 30}.name": ARRAY for number in range(700)}
    checkpoint.save_weights(weights, tmp_path / "a.pdparams")
    with pytest.raises(InputError) as caught:
        model.load(tmp_path / "a.pdparams")
    assert len(str(caught.value)) < 2000
    checkpoint.save(dict.fromkeys(weights, 3), tmp_path / "b.pdparams")
    with pytest.raises(InputError, match="700 entries") as caught:
        model.load(tmp_path / "b.pdparams")
    assert len(str(caught.value)) < 2000


def test_bytes_after_a_pickle_are_counted(tmp_path):
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"w": ARRAY}, 4) + b"1234")
    with pytest.raises(InputError, match=r"a\.pdparams: 4 bytes "):
        checkpoint.read_weights(tmp_path / "a.pdparams")
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"w": ARRAY}, 4)[:-9])
    with pytest.raises(InputError, match=r"a\.pdparams: .*Paddle"):
        checkpoint.read_weights(tmp_path / "a.pdparams")


def test_a_folder_is_not_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="Is a directory"):
        model.load(tmp_path)


def test_the_graph_of_an_exported_program_is_not_read_as_metadata(tmp_path):
    checkpoint.save_weights({"w": ARRAY}, tmp_path / "model.pdparams")
    (tmp_path / "model.json").write_text('{"base_code":{"magic":"pir"},"program":{"crop":3}}')
    assert checkpoint.read_metadata_file(tmp_path / "model.pdparams") == {}
    (tmp_path / "model.json").write_text(json.dumps({"crop": 3}))
    assert checkpoint.read_metadata_file(tmp_path / "model.pdparams") == {"crop": 3}


def test_a_file_that_is_not_a_state_is_identified_and_kept(tmp_path):
    path = tmp_path / "after_epoch_01.state"
    path.write_bytes(PAGE)
    with pytest.raises(InputError, match=r"after_epoch_01\.state: .*HTML"):
        resume(path, {})
    assert path.read_bytes() == PAGE
