"""Tests of faults: untrusted files, damaged files, killed processes, full disks.

This folder is a package, so that its `conftest` and that of the other tests are two modules.
"""
