"""Files damaged at random, and counts of their outcomes."""

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from chexnet.errors import InputError
from faults.conftest import FULL, how_many


def tries(ci: int, full: int) -> settings:
    """Return settings with the same inputs in every quick run, and new ones in each run on demand."""
    return settings(
        max_examples=how_many(ci, full), deadline=None, derandomize=not FULL, suppress_health_check=list(HealthCheck)
    )


@st.composite
def damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of the originals with one to four changes: bytes set, inserted, removed, repeated or cut off."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 100]))
        change = draw(st.sampled_from(["set", "set", "set", "insert", "remove", "repeat", "cut"]))
        if change == "set":
            data[position : position + length] = draw(NOISE)[:length]
        elif change == "insert":
            data[position:position] = draw(NOISE)
        elif change == "remove":
            del data[position : position + length]
        elif change == "repeat":
            data[position:position] = data[position : position + length]
        else:
            del data[position:]
    return bytes(data)


NOISE = st.binary(min_size=1, max_size=8) | st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"9" * 8])


class Outcomes:
    """Counts of read and refused inputs of one kind. Any exception other than InputError fails the test."""

    def __init__(self, tally: Callable[..., None], fault: str) -> None:
        self.tally, self.fault = tally, fault
        self.tried = self.read = 0

    def attempt(self, action: Callable[[], object]) -> object:
        """Return the result of `action`, or None if it raises InputError."""
        self.tried += 1
        try:
            result = action()
        except InputError:
            return None
        self.read += 1
        return result

    def close(self) -> None:
        """Add the counts to the table, after checking that at least one input was refused."""
        assert self.read < self.tried
        self.tally(self.fault, self.tried, self.tried, "nothing")
