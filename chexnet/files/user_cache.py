"""The user's folder for files that can be made again."""

import os
import sys

from chexnet.config import GRAPH_CACHE_VARIABLE


def default_graph_cache() -> str | None:
    """Return the default of `--graph_cache`; None if there is no home folder.

    It is the value of the environment variable, else a folder in the user's cache folder. That is `$XDG_CACHE_HOME` on
    every system that sets it, then `%LOCALAPPDATA%` on Windows, `~/Library/Caches` on macOS and `~/.cache` elsewhere.
    """
    if chosen := os.environ.get(GRAPH_CACHE_VARIABLE):
        return chosen
    folder = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(folder) and sys.platform == "win32":
        folder = os.environ.get("LOCALAPPDATA", "")
    if not os.path.isabs(folder):
        folder = os.path.expanduser("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    return os.path.join(folder, "chexnet", "graphs") if os.path.isabs(folder) else None
