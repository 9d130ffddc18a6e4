"""A real browser for page tests: Chromium, controlled through its DevTools pipe."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


AXE = Path(__file__).parents[2] / "chexnet" / "web" / "worker" / "node_modules" / "axe-core" / "axe.min.js"
"""Place of axe-core after `npm ci --prefix chexnet/web/worker`; CHEXNET_AXE names another one."""

SHIFT = 8
"""Modifier of a key."""

_KEY_CODES = {"Tab": 9, "Enter": 13, " ": 32, "PageUp": 33, "PageDown": 34, "Delete": 46}
_KEY_CODES |= {f"Arrow{name}": 37 + number for number, name in enumerate(("Left", "Up", "Right", "Down"))}


class Browser:
    """A context manager for a page in a new browser. Without Chromium, it skips the test.

    It resolves no host names, so that it reaches nothing but this machine. Commands are JSON, terminated by a zero byte:
    https://chromedevtools.github.io/devtools-protocol/.

    Attributes:
        errors: errors that the page caused so far: exceptions, and requests that failed or were refused.
    """

    def __init__(self, profile: Path, *flags: str) -> None:
        browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if not browser:
            pytest.skip("no Chromium")
        self._net_log = profile / "requests.json"
        profile.mkdir(parents=True, exist_ok=True)
        self.errors: list[str] = []
        default = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--log-net-log={self._net_log}",
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
        for domain in ("Runtime", "Log"):
            self.call(f"{domain}.enable")
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
        self.wait_for(lambda: self.evaluate(code), code, seconds)

    def wait_for(self, condition: Callable[[], Any], what: str = "condition", seconds: float = 60) -> None:
        """Wait until a function returns a true value."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not true within {seconds} s: {what}"
            time.sleep(0.05)

    def choose_file(self, selector: str, *paths: Path) -> None:
        """Choose files, as a user would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def key(self, name: str, text: str = "", modifiers: int = 0) -> None:
        """Press a key in the focused element."""
        code = _KEY_CODES.get(name, 0)
        event = {"key": name, "code": name, "modifiers": modifiers, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def mouse(self, kind: str, x: float, y: float, **params: Any) -> None:
        """Send an event of the mouse: `Pressed`, `Moved`, `Released` or `Wheel`."""
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **params)

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Give the page a window of this size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def requested(self, origin: str) -> set[str]:
        """Close the browser and return all addresses that pages and workers of `origin` requested."""
        self._call("Browser.close")
        self._process.wait()
        text = self._net_log.read_text(encoding="utf-8")
        return set(re.findall(rf'"initiator":"{re.escape(origin)}",.*"url":"([^"]*)"', text))

    def serious_faults(self) -> list[str]:
        """Return the serious and critical accessibility rules of axe-core that the page violates.

        Without axe-core, skip the test.
        """
        axe = Path(os.environ.get("CHEXNET_AXE") or AXE)
        if not axe.is_file():
            pytest.skip(f"no {axe}; run npm ci --prefix chexnet/web/worker, or set CHEXNET_AXE")
        self.evaluate(axe.read_text(encoding="utf-8"))
        found = self.evaluate(
            "axe.run(document).then(found => [found.violations.filter(rule => "
            "['serious', 'critical'].includes(rule.impact)).map(rule => rule.id), found.passes.length])"
        )
        assert found[1] > 20  # rules were applied
        return found[0]

    def screenshot(self, width: int, height: int) -> bytes:
        """Return a PNG of the page in a window of this size."""
        self.resize(width, height)
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
            self._collect(answer)
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]

    def _collect(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def _receive(self) -> bytes:
        received = bytearray()
        while (byte := self._reader.read(1)) != b"\0":
            assert byte, "the browser has exited"
            received += byte
        return bytes(received)
