"""Modules of the page in Node, without a browser."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "chexnet" / "web" / "page"


class PageModules:
    """The page's modules in a folder where Node can import them."""

    def __init__(self, folder: Path) -> None:
        self._node = shutil.which("node")
        if not self._node:
            pytest.skip("no Node.js")
        self._folder = folder / "page"
        shutil.copytree(PAGE, self._folder)
        (self._folder / "package.json").write_text('{"type": "module"}')

    def run(self, code: str, data: Any = None) -> Any:
        """Run the body of an async function of `data`, and return the value that it returns.

        Args:
            code: JavaScript; modules are imported with `await import("./name.js")`.
            data: value that JSON can represent, also with lone surrogates.
        """
        program = f"const data = JSON.parse(require('fs').readFileSync(0, 'utf8')); (async () => {{ {code} }})()"
        program += ".then((value) => process.stdout.write(JSON.stringify(value)))"
        done = subprocess.run(
            [self._node, "-e", program], input=json.dumps(data), capture_output=True, text=True, cwd=self._folder
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
