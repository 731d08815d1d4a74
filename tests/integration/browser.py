# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real browser for tests: headless Chromium, by the WebDriver protocol and Chromium's own, over urllib."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..needs import program
from .hubs import wait_until
from .venvs import cached, pip

#: What keeps Chromium from asking for anything that the test does not; root has no sandbox.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

#: What it needs of the system's requests: those that it makes up itself are no requests of the page.
_OWN_SCHEMES = ("chrome:", "data:", "about:", "devtools:")

_PATIENCE = 30.0
_AXE = "axe-playwright-python==0.1.8"


class Browser:
    """One window. Begins without having loaded anything."""

    def __init__(self, driver: str, profile: str) -> None:
        self._driver = driver
        options = {"args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def open(self, url: str) -> None:
        """Load a page, and wait until it is there."""
        self._ask("POST", f"{self._session}/url", {"url": url})

    def reload(self) -> None:
        """Load the page anew."""
        self._ask("POST", f"{self._session}/refresh", {})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function with that body returns."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def run_until_called(self, script: str, *arguments: Any) -> Any:
        """What a function with that body calls its last argument with."""
        return self._ask("POST", f"{self._session}/execute/async", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """Click on the first element that a CSS selector finds."""
        found = self._ask("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        (reference,) = found.values()
        self._ask("POST", f"{self._session}/element/{reference}/click", {})

    def source(self) -> str:
        """The page as it is now."""
        return str(self._ask("GET", f"{self._session}/source"))

    def emulate(self, width: int, height: int = 800, *, scheme: str = "light", has_scripts: bool = True) -> None:
        """Be a screen of that size, with a preference for light or dark, and run scripts or not."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._command("Emulation.setDeviceMetricsOverride", **metrics)
        self._command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._command("Emulation.setScriptExecutionDisabled", value=not has_scripts)

    def complaints(self) -> list[str]:
        """What has been said on the console since the last time."""
        return [entry["message"] for entry in self._log("browser")]

    def requested(self) -> list[str]:
        """The URLs that have been asked for since the last time."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(_OWN_SCHEMES)]

    def violations(self) -> list[str]:
        """What axe-core says against the page: each rule, and where it is violated."""
        self.run(axe().read_text(encoding="utf-8"))
        found = self.run_until_called("axe.run({resultTypes: ['violations']}).then(arguments[arguments.length - 1])")
        return [
            f"{rule['id']}: {rule['help']}: {[node['html'][:120] for node in rule['nodes']][:3]}"
            for rule in found["violations"]
        ]

    def close(self) -> None:
        """End it."""
        self._ask("DELETE", self._session)

    def _command(self, name: str, **parameters: Any) -> None:
        self._ask("POST", f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def _log(self, kind: str) -> Sequence[Any]:
        found = self._ask("POST", f"{self._session}/se/log", {"type": kind})
        assert isinstance(found, list)
        return found

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._driver + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {json.load(error)['value']['message']}") from None


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for as long as the context lasts."""
    program("chromium")
    with _profile() as profile, _driver() as driver:
        browser = Browser(driver, profile)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def _profile() -> Iterator[str]:
    """A directory, which a browser that is just ending may still write to when it goes."""
    directory = tempfile.mkdtemp(prefix="chromium-")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _driver() -> Iterator[str]:
    """The address of a chromedriver."""
    with tempfile.TemporaryFile("w+b") as said:
        process = subprocess.Popen([program("chromedriver"), "--port=0"], stdout=said, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{_port(process, said)}"
        finally:
            process.terminate()
            process.wait()


def _port(process: subprocess.Popen[bytes], said: Any) -> int:
    def line() -> bytes:
        assert process.poll() is None, "chromedriver has ended"
        said.seek(0)
        found: bytes = said.read()
        return found.partition(b"successfully on port ")[2].partition(b".")[0]

    wait_until(line, "chromedriver to say its port")
    return int(line())


def axe() -> Path:
    """axe-core, which knows what keeps people out of a page; a package of PyPI has it in one file."""

    def make(directory: Path) -> None:
        pip(Path(sys.executable), "download", "--no-deps", "--only-binary=:all:", f"--dest={directory}", _AXE)
        with zipfile.ZipFile(next(directory.glob("*.whl"))) as wheel:
            wheel.extract("axe_playwright_python/axe.min.js", directory)

    return cached("axe", made_of=_AXE, make=make) / "axe_playwright_python" / "axe.min.js"
