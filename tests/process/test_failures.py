"""What goes wrong in the middle of a start, a reload or a replacement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from support.process import Process
from support.waiting import until

from pingap.testing import Client

TOML = """
[basic]
threads = 2
worker_timeout = "2s"
[plugins.local]
category = "python"
path = "local.py"
[locations.all]
plugins = ["local"]
[servers.web]
addr = "127.0.0.1:{port}"
locations = ["all"]
prometheus_metrics = "/metrics"
"""
OTHER = '[servers.other]\naddr = "127.0.0.1:0"\nlocations = ["all"]\n'
PLUGIN = """
import os
from pathlib import Path
import anyio
from pingap import Plugin, PluginSettings, Response, hookimpl
FOLDER = Path(__file__).parent
class Local(Plugin):
    class Settings(PluginSettings):
        pass
    def __init__(self, settings: Settings) -> None:
        pass
    @hookimpl
    def request(self):
        return Response(200, b"{text}")
    async def startup(self, tasks):
        {startup}
"""
HANGS = '(FOLDER / "starting").touch(); await anyio.sleep_forever()'


def write(folder: Path, text: str, startup: str = "pass") -> None:
    (folder / "local.py").write_text(PLUGIN.format(text=text, startup=startup))


def get(proxy: Process, path: str = "/") -> str:
    with proxy.connect() as client:
        return client.get(path).body.decode()


def test_a_worker_is_replaced_after_a_server_has_gone(tmp_path: Path) -> None:
    write(tmp_path, "one")
    toml = TOML.format(port=0)
    with Process(toml + OTHER, tmp_path) as proxy:
        proxy.conf.write_text(toml)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("no longer listening on 127.0.0.1:0")
        for _ in range(2):  # both workers
            old = proxy.workers
            os.kill(old[0], signal.SIGKILL)
            until(lambda old=old: len(proxy.workers) == 2 and old[0] not in proxy.workers)  # type: ignore[misc]
        assert get(proxy) == "one"
        until(lambda: not _answers(proxy.port("other")))
        assert proxy.log.count("will be replaced") == 2


def test_the_end_does_not_wait_for_a_worker_that_cannot_be_replaced(tmp_path: Path) -> None:
    write(tmp_path, "one", 'if (FOLDER / "crash").exists(): os._exit(3)')
    with Process(TOML.format(port=0), tmp_path) as proxy:
        for _ in range(5):
            get(proxy)
        assert 'server="web"} 5' in get(proxy, "/metrics")
        (tmp_path / "crash").touch()
        os.kill(proxy.workers[0], signal.SIGKILL)
        until(lambda: proxy.log.count("will be replaced") >= 3)
        assert 'server="web"} 5' in get(proxy, "/metrics")  # what it had counted counts once
        assert proxy.stop() == 0


def test_a_plugin_that_ends_the_process_is_not_taken_up(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with Process(TOML.format(port=0), tmp_path) as proxy:
        old = proxy.workers
        write(tmp_path, "two", "os._exit(3)")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("ended while it prepared it")
        until(lambda: len(proxy.workers) == 2 and not set(old) & set(proxy.workers))
        assert get(proxy) == "one"
        write(tmp_path, "three")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("was reloaded")
        assert get(proxy) == "three"


def test_the_end_does_not_wait_for_a_plugin_that_hangs_in_a_reload(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with Process(TOML.format(port=0), tmp_path) as proxy:
        write(tmp_path, "two", HANGS)
        proxy.process.send_signal(signal.SIGHUP)
        until((tmp_path / "starting").exists)
        assert get(proxy) == "one"
        assert proxy.stop() == 0


def test_a_plugin_whose_constructor_hangs_in_a_reload_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with Process(TOML.format(port=0), tmp_path) as proxy:
        old = proxy.workers
        (tmp_path / "local.py").write_text(
            PLUGIN.format(text="two", startup="pass").replace(
                "    def __init__(self, settings: Settings) -> None:\n        pass\n",
                "    def __init__(self, settings: Settings) -> None:\n        Event().wait()\n",
            )
            + "from threading import Event\n"
        )
        proxy.process.send_signal(signal.SIGHUP)
        log = proxy.wait_for_log("it took longer than 2 s")
        assert "plugins.local: cannot be built: TimeoutError: it took longer than 2 s" in log
        assert (get(proxy), proxy.workers) == ("one", old)
        write(tmp_path, "three")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("was reloaded")
        assert get(proxy) == "three"


def test_a_start_that_hangs_can_be_ended(tmp_path: Path) -> None:
    write(tmp_path, "one", HANGS)
    conf = tmp_path / "pingap.toml"
    conf.write_text(TOML.format(port=0))
    with subprocess.Popen([sys.executable, "-m", "pingap", "-c", conf]) as process:
        until((tmp_path / "starting").exists)
        process.terminate()
        process.wait(10)


def test_workers_outlive_a_pause_of_the_supervisor(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with Process(TOML.format(port=0), tmp_path) as proxy:
        old = proxy.workers
        proxy.process.send_signal(signal.SIGSTOP)
        time.sleep(3)  # longer than worker_timeout
        proxy.process.send_signal(signal.SIGCONT)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("was reloaded")
        assert "has not reported" not in proxy.log
        assert proxy.workers == old


def test_standard_streams_may_be_closed(tmp_path: Path, free_port: int) -> None:
    write(tmp_path, "one")
    conf = tmp_path / "pingap.toml"
    conf.write_text(TOML.format(port=free_port))
    command = ("/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "pingap")
    with subprocess.Popen([*command, "-c", conf]) as process:
        until(lambda: _answers(free_port))
        with Client(("127.0.0.1", free_port)) as client:
            assert client.get("/").body == b"one"  # (it listens before it serves)
        files = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)]
        assert files == [os.devnull] * 3
        process.terminate()
        assert process.wait(10) == 0


def _answers(port: int) -> bool:
    try:
        Client(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
