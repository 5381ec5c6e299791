"""A headless Chromium, driven over the DevTools protocol (chromedevtools.github.io/devtools-protocol): one tab, and no
package but the WebSocket client that uvicorn brings.

What the tab complains of (exceptions, failed loads, breaches of the content security policy) is in `Tab.complaints`.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from websockets.sync.client import ClientConnection, connect

START_S = 20.0
ANSWER_S = 20.0
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check",
    "--disable-gpu",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio", "--proxy-server=direct://", "about:blank",
)  # fmt: skip
"""Without its sandbox, which neither root nor a container can have: it sees nothing but our own page."""


def command() -> str | None:
    """Where a Chromium is on this machine; None where there is none."""
    return next((found for name in COMMANDS if (found := shutil.which(name))), None)


class Tab:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self.complaints: list[str] = []
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer. Raises RuntimeError: it is refused; TimeoutError: the browser is silent."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(ANSWER_S))
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return cast(dict[str, Any], answer["result"])
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        said = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif event.get("method") == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in said["args"]))
        elif event.get("method") == "Log.entryAdded" and said["entry"]["level"] == "error":
            entry = said["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise's when it is there."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", {}).get("description", script))
        return answer["result"].get("value")

    def wait(self, script: str, within_s: float = 10.0) -> Any:
        """The value of an expression as soon as it is true, looked at anew every 15 ms; of an element `True`."""
        looked = f"""(async () => {{
            const end = performance.now() + {1000 * within_s};
            for (;;) {{
                const found = ({script});
                if (found || performance.now() > end) return found instanceof Node || found;
                await new Promise(done => setTimeout(done, 15));
            }}
        }})()"""
        try:
            found = self.run(looked)
        except RuntimeError as error:
            if "navigated" not in str(error):
                raise
            found = self.run(looked)  # of the page that took the other's place
        if not found:
            text = self.run("document.body ? document.body.innerText : ''")
            raise AssertionError(f"not within {within_s:g} s: {script}\n{text}\n{self.complaints}")
        return found

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded, its modules included."""
        self.send("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def choose_files(self, selector: str, *paths: Path) -> None:
        """What a user does in the file dialog of an input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def press(self, key: str, shift: bool = False) -> None:
        """A key on the keyboard: `Tab`, `Enter`, `Escape`, or one character."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "code": key if len(key) > 1 else "", "windowsVirtualKeyCode": codes.get(key, 0)}
        common |= {"modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """The window's size in CSS pixels, and which colours its reader prefers."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)

    def picture(self) -> bytes:
        """What is to be seen now, as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])


@contextmanager
def opened(profile: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, which is gone at the end. `profile`: an empty folder.

    Raises RuntimeError: it does not start.
    """
    found = command()
    if found is None:
        raise RuntimeError("no Chromium is installed")
    log = profile / "chromium.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [found, f"--user-data-dir={profile}", *FLAGS], stdout=output, stderr=output, start_new_session=True
        )
    try:
        with connect(_address(process, profile, log), max_size=None, open_timeout=ANSWER_S, proxy=None) as socket:
            yield Tab(socket)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def _address(process: subprocess.Popen[bytes], profile: Path, log: Path) -> str:
    """Where it listens, which it writes into its profile."""
    written = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_S
    while True:
        lines = written.read_text().splitlines() if written.exists() else []
        if len(lines) >= 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Chromium does not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
