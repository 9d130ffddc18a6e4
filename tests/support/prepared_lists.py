"""Lists made by tools/prepare_lists.py."""

from conftest import load_script

from chexnet.data.lists import read_classes, read_list
from chexnet.labels import CLASS_NAMES


def prepare(folder, *flags):
    """Run the script; return its exit code and the lists by name."""
    code = load_script("tools/prepare_lists.py").main([*map(str, flags), "--output_dir", str(folder / "lists")])
    names = folder / "lists" / "classes.txt"
    n_classes = len(read_classes(names)) if names.exists() else len(CLASS_NAMES)
    lists = {
        part: read_list(path, n_classes)
        for part in ("train", "val", "test")
        if (path := folder / "lists" / f"{part}_list.txt").exists()
    }
    return code, lists


def rows(listed):
    """Return the labels of a list by image."""
    return {name: "".join(map(str, row)) for name, row in zip(listed.names, listed.labels.tolist(), strict=True)}
