import threading

import pytest

from chexnet.prefetch import prefetch_map


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order(workers):
    assert list(prefetch_map(lambda number: number * number, range(50), workers, 7)) == [n * n for n in range(50)]
    assert list(prefetch_map(abs, [], workers, 7)) == []


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_an_exception_is_raised_in_place_of_its_result(workers):
    results = prefetch_map(lambda number: 12 // number, [1, 2, 0, 3], workers, 8)
    assert [next(results), next(results)] == [12, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.mark.parametrize("buffer_size", [0, 1, 5])
def test_no_more_than_the_buffer_is_computed_in_advance(buffer_size):
    done = []
    results = prefetch_map(done.append, range(30), 3, buffer_size)
    next(results)
    next(results)
    results.close()
    assert 2 <= len(done) <= 2 + buffer_size
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_without_workers_the_calling_thread_computes():
    (name,) = prefetch_map(lambda _: threading.current_thread().name, [0], 0, 5)
    assert name == threading.current_thread().name


def test_closing_cancels_pending_items():
    started = []
    gate = threading.Event()

    def start(number: int) -> None:
        started.append(number)
        if number:
            gate.wait()

    results = prefetch_map(start, range(20), 1, 10)
    next(results)
    timer = threading.Timer(0.1, gate.set)  # closing waits for items in progress
    timer.start()
    results.close()
    timer.join()
    assert len(started) <= 2
