"""train.py with a miniature network without dropout, for tests that start it with Paddle's launcher.

The variables CHEXNET_TEST_PAUSE and CHEXNET_TEST_SLOW_SAVE are the numbers of seconds that every training step and the
first saving of a state take longer, 0 by default.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")
if os.environ.get("PADDLE_TRAINER_ID", "0") != "0":
    time.sleep(0.7)  # Paddle waits 3 seconds if the first process does not listen yet
ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from conftest import run_script  # noqa: E402
from miniature import Miniature  # noqa: E402
from paddle import nn  # noqa: E402

from chexnet.files import write_text  # noqa: E402
from chexnet.model.backbones import BACKBONES  # noqa: E402
from chexnet.training import checkpoint_callback, run_state, training_callbacks  # noqa: E402


class WithoutDropout(Miniature):
    """One process draws the mask of a whole batch, several draw those of their pieces."""

    def __init__(self, out_size: int) -> None:
        super().__init__(out_size)
        self.dropout = nn.Identity()


if __name__ == "__main__":
    BACKBONES["densenet121"] = WithoutDropout
    checkpoint_callback.draw_curves = lambda rows, path: write_text(path, str(len(rows)))
    if pause := float(os.environ.get("CHEXNET_TEST_PAUSE", "0")):
        seeding = training_callbacks.seed_everything
        training_callbacks.seed_everything = lambda seed: (time.sleep(pause), seeding(seed))
    if seconds := float(os.environ.get("CHEXNET_TEST_SLOW_SAVE", "0")):
        pauses, saving = [seconds], run_state.save
        run_state.save = lambda *args: (time.sleep(pauses.pop() if pauses else 0), saving(*args))[1]
    sys.exit(run_script("train.py", *sys.argv[1:]))
