"""Paddle, imported without what importing it does to the rest of the process.

By itself it writes a note about ccache to standard error and takes SIGTERM, to end with a crash report. And Paddle 2.6
brings a zlib which the system's libz, if it is loaded later, uses in part; after that Pillow reads no PNG.
"""

import signal
import sys
import threading
import warnings

import numpy  # noqa: F401 - adds warning filters when it is imported, which are to stay
import PIL.Image  # noqa: F401 - loads libz

_terminate = None if "paddle" in sys.modules else signal.getsignal(signal.SIGTERM)
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No ccache found")
    import paddle as paddle

if _terminate is not None and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _terminate)
