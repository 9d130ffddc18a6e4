"""The start of a job of several processes without a pause."""

import os
import time
from pathlib import Path


def await_first_process() -> None:
    """Wait until the first process of this job listens. Paddle itself looks once and then again after 3 seconds."""
    if os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        return
    port, listening = int(os.environ["PADDLE_MASTER"].rsplit(":", 1)[1]), "0A"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text(encoding="utf-8").splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == listening and int(local.rsplit(":", 1)[1], 16) == port:
                    return
        time.sleep(0.02)
