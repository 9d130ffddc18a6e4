"""A real browser for the tests of pages: Chromium, spoken to over its DevTools pipe."""

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
    """One page in a browser of its own; a context manager. Skips the test where there is no Chromium or no axe-core.

    Commands are JSON, ended by a zero byte: https://chromedevtools.github.io/devtools-protocol/.
    """

    def __init__(self, profile: Path, *flags: str) -> None:
        browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        axe = os.environ.get("CHEXNET_AXE")
        if not browser or not axe:
            pytest.skip("no Chromium" if not browser else "CHEXNET_AXE does not name axe.min.js")
        self._axe = Path(axe).read_text(encoding="utf-8")
        own = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self._command = [browser, *own, *flags]
        self._last = 0

    def __enter__(self) -> "Browser":
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        high = [os.dup(one) for one in (commands, answers)]  # so that neither of them is 3 or 4 already

        def as_three_and_four() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            self._command,
            preexec_fn=as_three_and_four,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for one in (commands, answers, *high):
            os.close(one)
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
        """Goes to a page and waits until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def evaluate(self, code: str) -> Any:
        """The value of JavaScript, of a promise what it is kept with."""
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, code: str, seconds: float = 60) -> None:
        """Until JavaScript is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(code):
            assert time.monotonic() < end, f"not true within {seconds} s: {code}"
            time.sleep(0.05)

    def choose_file(self, selector: str, path: Path) -> None:
        """As if somebody had chosen a file."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def key(self, name: str, text: str = "") -> None:
        """Presses a key where the focus is."""
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)

    def serious_faults(self) -> list[str]:
        """The rules of axe-core that the page breaks, serious and critical ones."""
        self.evaluate(self._axe)
        found = self.evaluate(
            "axe.run(document).then(found => [found.violations.filter(one => "
            "['serious', 'critical'].includes(one.impact)).map(one => one.id), found.passes.length])"
        )
        assert found[1] > 20  # rules were applied
        return found[0]

    def screenshot(self, width: int, height: int) -> bytes:
        """A PNG of the page in a window of that size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def call(self, method: str, **params: Any) -> Any:
        """A command to the page."""
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
        while (one := self._reader.read(1)) != b"\0":
            assert one, "the browser has ended"
            received += one
        return bytes(received)
