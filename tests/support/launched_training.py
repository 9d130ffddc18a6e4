"""train.py with a miniature network without dropout, for tests that start it with Paddle's launcher."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from conftest import run_script  # noqa: E402
from miniature import Miniature  # noqa: E402
from paddle import nn  # noqa: E402

from chexnet.files import write_text  # noqa: E402
from chexnet.model.backbones import BACKBONES  # noqa: E402
from chexnet.training import checkpoint_callback  # noqa: E402


class WithoutDropout(Miniature):
    """One process draws the mask of a whole batch, several draw those of their pieces."""

    def __init__(self, out_size: int) -> None:
        super().__init__(out_size)
        self.dropout = nn.Identity()


if __name__ == "__main__":
    BACKBONES["densenet121"] = WithoutDropout
    checkpoint_callback.draw_curves = lambda rows, path: write_text(path, str(len(rows)))
    sys.exit(run_script("train.py", *sys.argv[1:]))
