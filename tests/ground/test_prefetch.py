import threading

import pytest

from chexnet.prefetch import prefetch_map


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order(workers):
    assert list(prefetch_map(lambda number: number * number, range(50), workers, 7)) == [n * n for n in range(50)]
    assert list(prefetch_map(abs, [], workers, 7)) == []


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_an_exception_comes_where_its_result_would_have(workers):
    results = prefetch_map(lambda number: 12 // number, [1, 2, 0, 3], workers, 8)
    assert [next(results), next(results)] == [12, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_no_more_than_the_depth_is_computed_ahead(depth):
    done = []
    results = prefetch_map(done.append, range(30), 3, depth)
    next(results)
    next(results)
    results.close()
    assert 2 <= len(done) <= 2 + depth
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_without_workers_the_caller_computes():
    (name,) = prefetch_map(lambda _: threading.current_thread().name, [0], 0, 5)
    assert name == threading.current_thread().name


def test_what_nobody_will_ask_for_is_not_begun():
    begun = []
    gate = threading.Event()

    def begin(number: int) -> None:
        begun.append(number)
        if number:
            gate.wait()

    results = prefetch_map(begin, range(20), 1, 10)
    next(results)
    opening = threading.Timer(0.1, gate.set)  # closing waits for what has begun
    opening.start()
    results.close()
    opening.join()
    assert len(begun) <= 2
