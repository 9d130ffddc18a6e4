"""Benchmarks of this library and of plain baselines, alternating in one run: `python -m benchmarks`."""

import warnings

warnings.filterwarnings("ignore", message="No ccache found")  # from the import of Paddle, in each process
