"""Parts of the GPU check: child processes, machine code in libraries, links, the comparison."""

import os
import signal
import struct
import sys
from itertools import pairwise

import numpy as np
import paddle
import pytest

from chexnet.errors import InputError
from chexnet.gpu import check_gpu, device_comparison, libraries, link_libraries, paddle_build
from chexnet.gpu.child import call_in_child
from chexnet.gpu.machine_code import architectures
from chexnet.gpu.paddle_build import find_paddle

CHILDREN = """
import os, signal, sys, time

def finishes(a, b):
    print("noise"); yield {"sum": a + b}; yield {"more": None}

def raises():
    yield {"first": 1}
    raise OSError("libcudnn.so: cannot open shared object file")

def crashes():
    yield {"first": 1}
    os.kill(os.getpid(), signal.SIGABRT)

def hangs():
    yield {"first": 1}
    time.sleep(60)

def exits():
    yield {"first": 1}
    os._exit(3)
"""


@pytest.fixture
def children(tmp_path, monkeypatch):
    (tmp_path / "gpu_children.py").write_text(CHILDREN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_a_child_returns_its_values(children):
    result = call_in_child("gpu_children:finishes", 2, 3, timeout=60)
    assert (result.values, result.failure) == ({"sum": 5, "more": None}, "")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "OSError: libcudnn.so: cannot open shared object file"),
        ("exits", "exit code 3"),
        pytest.param("crashes", "crashed with SIGABRT", marks=pytest.mark.skipif(os.name == "nt", reason="POSIX")),
    ],
)
def test_a_child_may_fail_in_any_way_and_its_values_are_kept(name, reason, children):
    result = call_in_child(f"gpu_children:{name}", timeout=60)
    assert (result.values, result.failure) == ({"first": 1}, reason)


def test_a_child_that_hangs_is_ended(children):
    assert call_in_child("gpu_children:hangs", timeout=1).failure == "no answer within 1 s"


def test_a_child_that_cannot_be_imported_is_a_failure(children):
    assert "ModuleNotFoundError" in call_in_child("no_such_module:x", timeout=60).failure


def entry(architecture: int, kind: int = 2, size: int = 24) -> bytes:
    """An entry of a container, with code of zeros."""
    return struct.pack("<HHIQ12xI", kind, 0x101, 64, size, architecture).ljust(64, b"\0") + bytes(size)


def container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    block = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body
    return block + bytes(-len(block) % 8)


def elf(sections: dict[bytes, bytes]) -> bytes:
    """A 64-bit ELF file with these sections; the last section has the names."""
    contents = [b"", *sections.values()]
    names = b"\0" + b"".join(name + b"\0" for name in (*sections, b".shstrtab"))
    starts = [0] + [names.index(b"\0" + name + b"\0") + 1 for name in (*sections, b".shstrtab")]
    contents.append(names)
    offsets = np.cumsum([64, *map(len, contents)])
    headers = [
        struct.pack("<I20xQQ24x", start, begin, end - begin)
        for start, (begin, end) in zip(starts, pairwise(offsets), strict=True)
    ]
    head = bytearray(64)
    head[:5] = b"\x7fELF\x02"
    struct.pack_into("<Q", head, 40, offsets[-1])
    struct.pack_into("<HHH", head, 58, 64, len(headers), len(headers) - 1)
    return bytes(head) + b"".join(contents) + b"".join(headers)


def test_the_machine_code_of_a_library_is_listed(tmp_path):
    code = [container(entry(61), entry(86, size=40), entry(90, kind=1)) for _ in range(20)]
    library = tmp_path / "lib.so"
    library.write_bytes(elf({b".text": bytes(16), b".nv_fatbin": b"".join(code) + container(entry(35))}))
    assert architectures(library) == (61, 86)  # not PTX, and not the architecture of a single kernel


@pytest.mark.parametrize("content", [b"MZ", b"\x7fELF\x02", elf({b".text": bytes(16)})])
def test_a_library_without_machine_code_has_no_architectures(content, tmp_path):
    library = tmp_path / "lib.so"
    library.write_bytes(content)
    assert architectures(library) == ()


def test_a_cut_off_library_raises_nothing_unexpected(tmp_path):
    whole = elf({b".nv_fatbin": container(entry(61), entry(86))})
    for size in range(1, len(whole), 7):
        (tmp_path / "lib.so").write_bytes(whole[:size])
        assert set(architectures(tmp_path / "lib.so")) <= {61, 86}


def test_the_installed_paddle_is_found():
    found = find_paddle()
    assert found.version == paddle.__version__
    assert bool(found.cuda) == paddle.is_compiled_with_cuda()
    assert not found.failure


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ImportError('libmklml_intel.so: cannot open shared object file')", "libmklml_intel.so"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("syntax error", "SyntaxError"),
    ],
)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_a_paddle_that_cannot_be_imported_is_described(source, message, tmp_path, monkeypatch):
    (tmp_path / "paddle" / "version").mkdir(parents=True)
    (tmp_path / "paddle" / "__init__.py").write_text(source)
    constants = (
        "full_version = '3.3.1'\ncuda_version = '12.6'\ncudnn_version = '9.5.1'\ncompiled_cuda_archs = [80, 90]\n"
    )
    (tmp_path / "paddle" / "version" / "__init__.py").write_text(constants)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(
        paddle_build, "find_spec", lambda name: type("Spec", (), {"origin": str(tmp_path / "paddle" / "__init__.py")})
    )
    found = find_paddle()
    assert (found.version, found.cuda, found.cudnn, found.architectures) == ("3.3.1", "12.6", "9.5.1", (80, 90))
    assert message in found.failure


@pytest.fixture
def nvidia_packages(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    for package, file in libraries.LINKS.values():
        folder = site / "nvidia" / package / "lib"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    (site / "nvidia" / "cudnn" / "lib" / "libcudnn_ops_infer.so.8").write_text("part")
    monkeypatch.setattr(sys, "path", [str(site)])
    return site


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_the_links_lead_to_the_packages_and_can_be_made_again(nvidia_packages, tmp_path):
    for _ in range(2):
        folder = link_libraries(tmp_path / "links")
        for name, (_, file) in libraries.LINKS.items():
            assert (folder / name).read_text() == file
        assert (folder / "libcudnn_ops_infer.so.8").read_text() == "part"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_links_overwrite_no_file_and_need_the_packages(nvidia_packages, tmp_path, monkeypatch):
    (tmp_path / "libcudnn.so").write_text("mine")
    with pytest.raises(InputError, match=r"libcudnn\.so: "):
        link_libraries(tmp_path)
    assert (tmp_path / "libcudnn.so").read_text() == "mine"
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(InputError, match=r"pip install -r requirements-gpu-pypi\.txt"):
        link_libraries(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_comparison_finds_a_device_that_computes_something_else(monkeypatch):
    """tests/gpu/test_check_gpu.py compares devices that compute the same."""
    monkeypatch.setattr(device_comparison, "SIZE", 64)
    original, calls = device_comparison._train_and_evaluate, []

    def wrong(start):
        calls.append(1)
        if len(calls) == 2:
            start = {name: value * 1.01 if name.endswith("weight") else value for name, value in start.items()}
        return original(start)

    monkeypatch.setattr(device_comparison, "_train_and_evaluate", wrong)
    different: dict[str, float] = {}
    for values in device_comparison.compare_devices("cpu"):
        different |= values
    assert different["weights"] > 1e-2
    assert different["probabilities"] > 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(
    not paddle.is_compiled_with_cuda() or not paddle.device.cuda.device_count(), reason="Paddle finds no GPU"
)
def test_the_gpu_gives_the_numbers_of_the_cpu():
    check = check_gpu()
    assert check.works, check
