"""Benchmarks of this library and of plain baselines, alternating in one run: `python -m benchmarks`."""
