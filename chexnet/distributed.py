"""Training in several processes, which Paddle's launcher starts: `python -m paddle.distributed.launch ... train.py`.

Paddle's distributed engine does the work; this module says which part of it is used for what.

- Collectives carry what every step needs. With NCCL they may take long. With gloo, on CPUs, a process that is more
  than 30 seconds behind the others ends the job, and no setting of Paddle changes that.
- Paddle's TCP store carries what may take longer than that. An answer takes about 50 milliseconds.

In one process nothing here does anything: the functions return what they are given.
"""

import io
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Any, TypeVar

import numpy as np

from chexnet import device
from chexnet.device import launched as launched
from chexnet.errors import InputError, Interrupted

T = TypeVar("T")

POLL = 0.05
"""Seconds between two looks into the store."""

PATIENCE = 3.0
"""Seconds that a process that ends waits for what others have to say or to read."""


class _Job:
    """This process's view of the job: its sessions so far, whether one is open, or left, and the meetings so far."""

    sessions = 0
    open = False
    left = False
    meetings = 0


def rank() -> int:
    """Return the number of this process in the job, from 0."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0")) if launched() > 1 else 0


def is_first() -> bool:
    """Return whether this process writes, prints and locks: the first of the job, or the only one."""
    return rank() == 0


@contextmanager
def session() -> Iterator[None]:
    """End together: an error of one process in this block is raised in the others too, as far as they can be reached.

    Raises:
        InputError: another process failed; the message is that of its error.
    """
    if launched() == 1 or _Job.open:
        yield
        return
    _Job.sessions, _Job.open, _Job.left = _Job.sessions + 1, True, False
    try:
        yield
        leave()
    except (InputError, Interrupted) as error:
        leave(str(error))
        raise
    except Exception as error:
        if not _is_lost_connection(error):
            leave(f"process {rank()}: {type(error).__name__}: {error}")
            raise
        lost = (
            f"process {rank()}: another process of this job has ended, or is more than 30 seconds behind; the states "
            "saved before are intact, see train.py --resume"
        )
        raise InputError(_failure_of_another() or lost) from error
    finally:
        _Job.open = False


def join(choice: str, tf32: str = "off") -> None:
    """Set Paddle's device and, if several processes were launched, connect them: by NCCL on GPUs, by gloo on CPUs.

    Args:
        choice: `auto`, `cpu` or `gpu`, see `device.set_device`. `auto` is the CPU if the launcher chose no GPUs.
        tf32: see `device.set_device`.

    Raises:
        InputError: the device cannot be used, or `choice` is `gpu` and the launcher gave this process none.
    """
    if launched() > 1 and not device.paddle.distributed.is_initialized():
        no_gpus = os.environ.get("PADDLE_DISTRI_BACKEND") == "gloo"
        if choice == "gpu" and no_gpus:
            raise InputError(
                "--device gpu: the launcher gave this process no GPU, expected --gpus 0,1,... before train.py"
            )
        choice = "cpu" if no_gpus else choice
        os.environ["PADDLE_DISTRI_BACKEND"] = "nccl" if choice != "cpu" and device.count_gpus() else "gloo"
        with redirect_stderr(io.StringIO()):  # it lists every flag that Paddle itself has changed
            device.paddle.distributed.init_parallel_env()
    device.set_device(choice, tf32)


def together(work: Callable[[], T]) -> T:
    """Call `work` in every process and wait until all are done, however long that takes; return its result.

    Raises:
        InputError: another process failed, see `session`.
    """
    result = work()
    if launched() > 1:
        _meet()
    return result


def from_first(work: Callable[[], T]) -> T:
    """Call `work` in the first process and return its result, of up to a megabyte, in all.

    Raises:
        InputError: it failed, see `session`.
    """
    if launched() == 1:
        return work()
    key = _key(f"value/{_Job.meetings}")
    on_first(lambda: _store().set(key, pickle.dumps(work())))
    return pickle.loads(_store().get(key))


def on_first(work: Callable[[], T]) -> T | None:
    """Call `work` in the first process, for which the others wait; return its result there and None in the others.

    Raises:
        InputError: it failed, see `session`.
    """
    return together(lambda: work() if is_first() else None)


def gathered(rows: np.ndarray) -> np.ndarray:
    """Return the arrays of all processes, which have one shape and type, as one array [processes, ...]."""
    if launched() == 1:
        return rows[None]
    received: list[Any] = []
    device.paddle.distributed.all_gather(received, device.paddle.to_tensor(rows))
    return np.stack([tensor.numpy() for tensor in received])


def gathered_rows(pieces: Sequence[np.ndarray], width: int) -> list[np.ndarray]:
    """Return the rows of all processes: those of the first piece process by process, then those of the second.

    Args:
        pieces: float32 arrays of this process, [rows, width] each. The number of pieces is the same in all processes,
            that of their rows need not be.
        width: number of columns.
    """
    if launched() == 1 or not pieces:
        return list(pieces)
    counts = gathered(np.array([len(piece) for piece in pieces]))  # [processes, pieces]
    padded = np.zeros((counts.sum(axis=1).max(), width), np.float32)
    own = np.concatenate(pieces)
    padded[: len(own)] = own
    split = [
        np.split(rows, np.cumsum(count))[: len(pieces)] for rows, count in zip(gathered(padded), counts, strict=True)
    ]
    return [np.concatenate(parts) for parts in zip(*split, strict=True)]


def gathered_lists(items: Sequence[T]) -> list[T]:
    """Return the items of all processes, those of process 0 first."""
    if launched() == 1:
        return list(items)
    received: list[Any] = []
    device.paddle.distributed.all_gather_object(received, list(items))
    return [item for part in received for item in part]


def check_same(facts: Mapping[str, str]) -> None:
    """Check that all processes have the same facts. Raises InputError with the first one that differs.

    Args:
        facts: name -> value, for example the path of a file -> its checksum.
    """
    first, *following = gathered_lists([dict(facts)])
    for process, others in enumerate(following, start=1):
        for name in first:
            if others.get(name) != first[name]:
                raise InputError(
                    f"{name}: {str(first[name])[:80]} in process 0, {str(others.get(name))[:80]} in process {process}; "
                    "expected the same on all machines"
                )


def average_statistics(network: "device.paddle.nn.Layer") -> None:
    """Replace the running statistics of batch normalization by their mean over the processes, in every process."""
    statistics = [tensor for tensor in network.state_dict().values() if tensor.stop_gradient]
    if launched() == 1 or not statistics:
        return
    own = np.concatenate([tensor.astype("float32").numpy().ravel() for tensor in statistics])
    mean = gathered(own).astype(np.float64).mean(axis=0).astype(np.float32)
    ends = np.cumsum([tensor.size for tensor in statistics])[:-1]
    for tensor, values in zip(statistics, np.split(mean, ends), strict=True):
        tensor.set_value(values.reshape(tensor.shape).astype(tensor.numpy().dtype))


def leave(error: str = "") -> None:
    """Tell the others that this process ends and why, unless it has done so, and wait until all have.

    The first process contains the store, from which the others read. After an error this process ignores SIGTERM:
    the launcher sends it to all processes as soon as one has ended, and each is to end by itself, with its message.
    """
    if launched() == 1 or _Job.left:
        return
    _Job.left = True
    if error and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(Exception):  # the store has ended
        store = _store()
        if error:
            store.set(_key(f"error/{rank()}"), error.encode())
            if store.add(_key("reporter"), 1) == 1:
                store.add(_key("failed"), 1 + rank())
        left = store.add(_key("left"), 1)
        deadline = time.monotonic() + PATIENCE
        while left < launched() and time.monotonic() < deadline:
            time.sleep(POLL)
            left = store.add(_key("left"), 0)


@contextmanager
def as_one_process() -> Iterator[None]:
    """Hide from Paddle in this block that there are several processes."""
    name = "PADDLE_TRAINERS_NUM"
    before = os.environ.pop(name, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before


def _store() -> Any:
    return device.paddle.base.core.create_or_get_global_tcp_store()


def _key(name: str) -> str:
    return f"chexnet/{_Job.sessions}/{name}"


def _meet() -> None:
    _Job.meetings += 1
    store, key = _store(), _key(f"meeting/{_Job.meetings}")
    present = store.add(key, 1)
    while present < launched():
        if store.add(_key("failed"), 0):
            raise InputError(_error())
        time.sleep(POLL)
        present = store.add(key, 0)


def _failure_of_another() -> str:
    """Return the message of the process that failed first, or an empty text if there is none."""
    with suppress(Exception):  # the store has ended
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if _store().add(_key("failed"), 0):
                return _error()
            time.sleep(POLL)
    return ""


def _error() -> str:
    """Return the message of the process that failed first, after it has said so."""
    store = _store()
    first = store.add(_key("failed"), 0) - 1
    return str(store.get(_key(f"error/{first}")).decode())


def _is_lost_connection(error: Exception) -> bool:
    return any(word in str(error).lower() for word in ("gloo", "nccl", "connection", "tcp", "timed out"))
