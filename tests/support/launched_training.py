"""train.py with a miniature network without dropout, for jobs of several processes.

The variables CHEXNET_TEST_PAUSE and CHEXNET_TEST_SLOW_SAVE are the numbers of seconds that every training step and the
first saving of a state take longer, 0 by default.
"""

import os
import sys
import time

from first_process import await_first_process
from miniature_network import Miniature

import train
from chexnet.device import paddle
from chexnet.files import write_text
from chexnet.model.backbones import BACKBONES
from chexnet.training import checkpoint_callback, run_state, training_callbacks


class WithoutDropout(Miniature):
    """One process draws the mask of a whole batch, several draw those of their pieces."""

    def __init__(self, out_size: int) -> None:
        super().__init__(out_size)
        self.dropout = paddle.nn.Identity()


def main(arguments: list[str]) -> int:
    """Train, and return the exit code."""
    connect = paddle.distributed.init_parallel_env
    paddle.distributed.init_parallel_env = lambda: (await_first_process(), connect())
    BACKBONES["densenet121"] = WithoutDropout
    checkpoint_callback.draw_curves = lambda rows, path: write_text(path, str(len(rows)))
    if pause := float(os.environ.get("CHEXNET_TEST_PAUSE", "0")):
        seeding = training_callbacks.seed_everything
        training_callbacks.seed_everything = lambda seed: (time.sleep(pause), seeding(seed))
    if seconds := float(os.environ.get("CHEXNET_TEST_SLOW_SAVE", "0")):
        pauses, saving = [seconds], run_state.save
        run_state.save = lambda *args: (time.sleep(pauses.pop() if pauses else 0), saving(*args))[1]
    return train.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
