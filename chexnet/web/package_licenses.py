"""License texts of the npm packages that are part of a built page."""

import json
from pathlib import Path
from typing import Any

NOTICES = "NOTICES.txt"
"""Notices of compiled libraries whose packages contain no license text."""


def collect(folder: Path) -> str:
    """Return names, versions, licenses and license texts of the packages that the worker is bundled with.

    Args:
        folder: folder with `package-lock.json`, `node_modules` and NOTICES.
    """
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))
    packages = {path: facts for path, facts in lock["packages"].items() if path and not facts.get("dev")}
    sections = [_section(folder / path, facts) for path, facts in sorted(packages.items())]
    notices = (folder / NOTICES).read_text(encoding="utf-8").strip()
    return f"\n\n{'-' * 100}\n\n".join([notices, *sections]) + "\n"


def _section(package: Path, facts: dict[str, Any]) -> str:
    name = package.as_posix().rsplit("node_modules/", 1)[1]
    title = f"{name} {facts['version']}, license {facts.get('license', 'not named')}"
    texts = sorted(path for path in package.glob("[Ll][Ii][Cc][Ee][Nn][SsCc]*") if path.is_file())
    return "\n\n".join([title, *(path.read_text(encoding="utf-8", errors="replace").strip() for path in texts)])
