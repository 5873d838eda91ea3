"""A headless Chromium, told what to do by its DevTools protocol."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.sync.client import ClientConnection, connect

from support.certificates import Issued
from support.waiting import until

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """A page of a browser.

    :param socket: to the browser.
    :param seconds: how long it may take to do what it is told.
    """

    def __init__(self, socket: ClientConnection, seconds: float) -> None:
        self._socket = socket
        self._seconds = seconds
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        target = self._command("Target.createTarget", url="about:blank")["targetId"]
        session = self._command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}

    def _command(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a command; events that come in between are of no interest."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params, **self._session}
        self._socket.send(json.dumps(command))
        while True:
            answer = json.loads(self._socket.recv(self._seconds))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, url: str) -> None:
        """Go to a URL; scripts of the page can be asked for their values then."""
        went = self._command("Page.navigate", url=url)
        assert "errorText" not in went, went

    def reload(self, *, without_cache: bool = False) -> None:
        """Load the page again; it may not be there yet when this returns.

        :param without_cache: as with the shift key.
        """
        self._command("Page.reload", ignoreCache=without_cache)

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page, of its promise once that is kept."""
        options = {"awaitPromise": True, "returnByValue": True}
        found = self._command("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")


@contextmanager
def chromium(folder: Path, believed: Issued, seconds: float = 60) -> Iterator[Page]:
    """Run a browser which believes one certificate, whoever signed it.

    :param folder: for its profile and what it says.
    :param seconds: after which it is ended, whatever it does.
    """
    assert PROGRAM is not None
    key = believed.certificate.public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = base64.b64encode(hashlib.sha256(spki).digest()).decode()
    folder.mkdir()
    command = [
        *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-dev-shm-usage", "--disable-background-networking", "--no-proxy-server"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}"),
        *(f"--ignore-certificate-errors-spki-list={digest}", "about:blank"),
    ]
    with (
        (folder / "said").open("w") as said,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process,
    ):
        limit = threading.Timer(seconds, process.kill)
        limit.start()
        try:
            with connect(_address(folder), max_size=None, proxy=None) as socket:
                yield Page(socket, seconds)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            limit.cancel()


def _address(folder: Path) -> str:
    """Return where the browser speaks the protocol; it writes that to a file of its profile."""
    file = folder / "profile" / "DevToolsActivePort"
    until(lambda: file.exists() and "/" in file.read_text(), "Chromium did not start", 30)
    port, path = file.read_text().split()
    return f"ws://127.0.0.1:{port}{path}"
