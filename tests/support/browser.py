"""A real browser for page tests: Chromium, controlled through its DevTools pipe."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest


class Browser:
    """A context manager for a page in a new browser. Without Chromium or axe-core, it skips the test.

    Commands are JSON, terminated by a zero byte: https://chromedevtools.github.io/devtools-protocol/.
    """

    def __init__(self, profile: Path, *flags: str) -> None:
        browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        axe = os.environ.get("CHEXNET_AXE")
        if not browser or not axe:
            pytest.skip("no Chromium" if not browser else "CHEXNET_AXE does not name axe.min.js")
        self._axe = Path(axe).read_text(encoding="utf-8")
        default = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        self._command = [browser, *default, *flags]
        self._last = 0

    def __enter__(self) -> "Browser":
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        duplicates = [os.dup(fd) for fd in (commands, answers)]  # neither is 3 or 4

        def use_3_and_4() -> None:
            os.dup2(duplicates[0], 3)
            os.dup2(duplicates[1], 4)

        self._process = subprocess.Popen(
            self._command,
            preexec_fn=use_3_and_4,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (commands, answers, *duplicates):
            os.close(fd)
        self._reader = os.fdopen(self._answers, "rb")
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.close()
        os.close(self._commands)

    def open(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def evaluate(self, code: str) -> Any:
        """Run JavaScript and return its value; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, code: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(code):
            assert time.monotonic() < end, f"not true within {seconds} s: {code}"
            time.sleep(0.05)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file, as a user would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def key(self, name: str, text: str = "") -> None:
        """Press a key in the focused element."""
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)

    def serious_faults(self) -> list[str]:
        """Return the serious and critical accessibility rules of axe-core that the page violates."""
        self.evaluate(self._axe)
        found = self.evaluate(
            "axe.run(document).then(found => [found.violations.filter(rule => "
            "['serious', 'critical'].includes(rule.impact)).map(rule => rule.id), found.passes.length])"
        )
        assert found[1] > 20  # rules were applied
        return found[0]

    def screenshot(self, width: int, height: int) -> bytes:
        """Return a PNG of the page in a window of this size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def call(self, method: str, **params: Any) -> Any:
        """Send a command to the page and return its result."""
        return self._call(method, self._session, **params)

    def _call(self, method: str, session: str | None = None, **params: Any) -> Any:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._receive())
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self) -> bytes:
        received = bytearray()
        while (byte := self._reader.read(1)) != b"\0":
            assert byte, "the browser has exited"
            received += byte
        return bytes(received)
