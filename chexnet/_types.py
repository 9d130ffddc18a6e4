"""Types of the callbacks that long work is given."""

from collections.abc import Callable

LogFn = Callable[[str], object]
"""Takes one line of text for the user."""

ProgressFn = Callable[[int, int], object]
"""Takes the number of items that are done, and the number of all items."""
