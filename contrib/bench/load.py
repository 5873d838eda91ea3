"""Runs a load and reads the report of its tool."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from h2_heads import write_heads
from mixed import lua
from proxies import Ports
from scenarios import Scenario

STREAMS: Final = 10
"""HTTP/2: requests at a time on each connection."""

_PATIENCE: Final = 30
_MILLISECONDS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class LoadError(Exception):
    """A run does not count; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Load:
    """The report of the tool.

    :param requests: those with the expected response.
    :param rate: of them in a second on the clock.
    :param p50: milliseconds; None if the tool does not report it.
    :param p99: the same.
    """

    requests: int
    rate: float
    p50: float | None
    p99: float | None


def run(scenario: Scenario, ports: Ports, seconds: int, folder: Path) -> Load:
    """Send requests to a proxy for this many seconds; wrk supports whole seconds only.

    :param folder: where scripts for the tools are kept.
    :raises LoadError: some requests failed, or the report was not understood.
    """
    port = getattr(ports, scenario.protocol)
    if scenario.tool == "h2load":
        return read_h2load(_output(_h2load(scenario, port, seconds), seconds), seconds)
    if scenario.tool == "wrk":
        return read_wrk(_output(_wrk(scenario, port, seconds, folder), seconds))
    heads = folder / "h2-heads"
    if not heads.exists():
        write_heads(heads)
    script = str(Path(__file__).with_name("h2_load.py"))
    numbers = (str(one) for one in (port, seconds, scenario.connections, STREAMS))
    return read_own(_output([sys.executable, script, *numbers, str(heads)], seconds))


def _wrk(scenario: Scenario, port: int, seconds: int, folder: Path) -> list[str]:
    scheme = "https" if scenario.protocol == "tls" else "http"
    command = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{seconds}s", "--latency"]
    if scenario.mixed:
        script = folder / f"mixed-{scenario.body}.lua"
        script.write_text(lua(scenario.body))
        command += ["-s", str(script)]
    return [*command, f"{scheme}://127.0.0.1:{port}{scenario.path}"]


def _h2load(scenario: Scenario, port: int, seconds: int) -> list[str]:
    command = ["h2load", "-t1", f"-c{scenario.connections}", f"-m{STREAMS}", f"-D{seconds}"]
    return [*command, f"http://127.0.0.1:{port}{scenario.path}"]


def _output(command: list[str], seconds: int) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + _PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]} did not end") from error
    if done.returncode:
        raise LoadError(f"{Path(command[0]).name}: {(done.stdout + done.stderr).strip()[-200:]}")
    return done.stdout


def read_wrk(text: str) -> Load:
    """Read the report of ``wrk --latency``.

    :raises LoadError: some requests failed, or this is no such report.
    """
    if failure := re.search(r"Non-2xx.*|Socket errors.*", text):
        raise LoadError(failure[0])
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if requests is None or rate is None or not int(requests[1]):
        raise LoadError(f"wrk: {text.strip()[-200:]}")
    return Load(int(requests[1]), float(rate[1]), _percentile(text, 50), _percentile(text, 99))


def _percentile(text: str, share: int) -> float:
    found = re.search(rf"^\s*{share}%\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    if found is None:
        raise LoadError(f"wrk: {text.strip()[-200:]}")
    return float(found[1]) * _MILLISECONDS[found[2]]


def read_h2load(text: str, seconds: int) -> Load:
    """Read the report of ``h2load``, which has no percentiles.

    :raises LoadError: some requests failed, or this is no such report.
    """
    counts = re.search(
        r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout\n"
        r"status codes: (\d+) 2xx",
        text,
    )
    if counts is None:
        raise LoadError(f"h2load: {text.strip()[-200:]}")
    succeeded, *failures, answered = (int(one) for one in counts.groups())
    if any(failures) or not answered or answered < succeeded:
        raise LoadError(f"h2load: {counts[0]}")
    return Load(answered, answered / seconds, None, None)


def read_own(text: str) -> Load:
    """Read the output of ``h2_load.py``."""
    told = json.loads(text)
    rate = told["requests"] / told["seconds"]
    return Load(told["requests"], rate, told["p50"], told["p99"])
