"""Memory of a GPU: the batches that fit, and the message where they do not."""

import paddle
import pytest

from chexnet import gpu_memory
from chexnet.errors import InputError

MESSAGES = [
    (  # of Paddle's allocator
        MemoryError,
        "\n\n----\nError Message Summary:\n----\nResourceExhaustedError: \n\nOut of memory error on GPU 0. Cannot "
        "allocate 1.531250GB memory on GPU 0, 6.000000GB memory has been allocated and available memory is only "
        "416.625000MB.\n\nPlease check whether there is any other process using GPU 0.\n",
    ),
    (RuntimeError, "ResourceExhaustedError: \n\nOut of memory error on GPU 0. Cannot allocate 98.000244MB memory"),
    (SystemError, "(Fatal) Operator conv2d raises an paddle::memory::allocation::BadAlloc exception."),
    (OSError, "(External) CUBLAS error(3). \n  [Hint: 'CUBLAS_STATUS_ALLOC_FAILED'."),
    (OSError, "(External) CUDA error(2), out of memory."),
]


def test_a_pass_takes_most_of_the_free_memory_but_not_all(fake_gpu):
    counts = []
    for free in (0, 1e8, 1e9, 4e9, 80e9):
        fake_gpu.free = int(free)
        counts.append(gpu_memory.crops_per_pass(224))
        assert counts[-1] == 1 or counts[-1] * gpu_memory.EVALUATION_BYTES < free
    assert counts[0] == 1
    assert counts == sorted(counts)
    assert counts[-1] == gpu_memory.MAX_CROPS
    fake_gpu.free = int(4e9)
    assert gpu_memory.crops_per_pass(448) == pytest.approx(gpu_memory.crops_per_pass(224) / 4, abs=1)


def test_memory_that_paddle_holds_but_does_not_use_is_free(fake_gpu, monkeypatch):
    fake_gpu.free = 10**9
    monkeypatch.setattr(paddle.device.cuda, "memory_reserved", lambda: 5 * 10**9)
    monkeypatch.setattr(paddle.device.cuda, "memory_allocated", lambda: 2 * 10**9)
    assert gpu_memory.free_bytes() == 4 * 10**9


@pytest.mark.parametrize(
    ("images", "crop", "amp", "fits"),
    [
        (128, 224, "off", True),
        (400, 224, "off", False),
        (400, 224, "bf16", True),
        (128, 448, "off", False),
    ],
)
def test_a_step_that_does_not_fit_is_announced_with_a_number_that_fits(fake_gpu, images, crop, amp, fits):
    fake_gpu.device = "gpu"
    warning = gpu_memory.training_warning(images, crop, "densenet121", amp)
    assert bool(warning) != fits
    if warning:
        number = int(warning.split("enough for about ")[1].split()[0])
        assert 0 < number < images
        assert gpu_memory.training_warning(number, crop, "densenet121", amp) == ""
        assert all(flag in warning for flag in ("--batch_size", "--accumulate", "--amp"))


def test_nothing_is_announced_where_the_need_is_not_known(fake_gpu):
    fake_gpu.device = "gpu"
    assert gpu_memory.training_warning(10**6, 224, "lenet", "off") == ""
    fake_gpu.device = "cpu"
    assert gpu_memory.training_warning(10**6, 224, "densenet121", "off") == ""


@pytest.mark.parametrize(("kind", "text"), MESSAGES)
def test_exhausted_memory_is_one_line(fake_gpu, kind, text):
    fake_gpu.device = "gpu"
    with (
        pytest.raises(InputError, match=r"^GPU Fake: .* a step of 9 images.*: use --x$") as caught,
        gpu_memory.out_of_memory_as_input_error("a step of 9 images", "use --x"),
    ):
        raise kind(text)
    assert "\n" not in str(caught.value)
    assert ("416.625000MB" in str(caught.value)) == ("only" in text)


def test_paddles_own_error_is_recognized():
    """The CPU's allocator fails with the same type."""
    with (
        pytest.raises(InputError, match="CPU: not enough memory for 40 TB"),
        gpu_memory.out_of_memory_as_input_error("40 TB", "use less"),
    ):
        paddle.zeros([10**13])


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), OSError("No space left"), ValueError("out of memory")]
)
def test_other_errors_are_unchanged(error):
    with pytest.raises(type(error)) as caught, gpu_memory.out_of_memory_as_input_error("a step", "use less"):
        raise error
    assert caught.value is error
