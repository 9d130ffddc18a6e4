"""Types of the callbacks of long-running functions."""

from collections.abc import Callable

LogFn = Callable[[str], object]
"""Called with one line of text for the user."""

ProgressFn = Callable[[int, int], object]
"""Called with the number of processed items and the total number."""
