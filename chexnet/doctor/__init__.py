"""Check what this machine has and can do, with advice on each fault. Imports Paddle in child processes only."""

from chexnet.doctor.checks import Check, check_machine

__all__ = ["Check", "check_machine"]
