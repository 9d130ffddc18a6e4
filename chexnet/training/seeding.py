"""The random generators of the process."""

import random

import numpy as np
import paddle


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and Paddle with a number below 2**32."""
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)
