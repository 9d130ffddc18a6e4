"""Files damaged at random, and counts of what became of them."""

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from chexnet.errors import InputError
from faults.conftest import FULL, how_many


def tries(ci: int, full: int) -> settings:
    """The same inputs for every change, others each time on demand."""
    return settings(
        max_examples=how_many(ci, full), deadline=None, derandomize=not FULL, suppress_health_check=list(HealthCheck)
    )


@st.composite
def damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of the originals with one to four bytes or stretches changed, removed, repeated or put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 100]))
        change = draw(st.sampled_from(["set", "set", "set", "put in", "remove", "repeat", "cut"]))
        if change == "set":
            data[place : place + length] = draw(NOISE)[:length]
        elif change == "put in":
            data[place:place] = draw(NOISE)
        elif change == "remove":
            del data[place : place + length]
        elif change == "repeat":
            data[place:place] = data[place : place + length]
        else:
            del data[place:]
    return bytes(data)


NOISE = st.binary(min_size=1, max_size=8) | st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"9" * 8])


class Outcomes:
    """Counts what became of the inputs of one kind; any exception but InputError fails the test."""

    def __init__(self, tally: Callable[..., None], fault: str) -> None:
        self.tally, self.fault = tally, fault
        self.tried = self.read = 0

    def of(self, action: Callable[[], object]) -> object:
        """What `action` returns, None if it refuses the input."""
        self.tried += 1
        try:
            result = action()
        except InputError:
            return None
        self.read += 1
        return result

    def close(self) -> None:
        """Notes them, once all are known to be good; some were really damaged."""
        assert self.read < self.tried
        self.tally(self.fault, self.tried, self.tried, "nothing")
