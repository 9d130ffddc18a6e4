"""What must not go wrong whatever happens: files from strangers, damaged files, kills, full disks.

A package, so that its `conftest` and that of the other tests are two modules.
"""
