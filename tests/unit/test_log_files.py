"""Log files: names by date, the link, and that nothing gets lost."""

from __future__ import annotations

import errno
import io
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.host.log_targets import LogTargetError
from pingap.observability.log_files import LogFile, LogFileHandler, LogFiles
from pingap.observability.logs import JsonFormatter, parse_level


@pytest.mark.parametrize(
    ("rolling", "pattern"),
    [("", "%Y-%m-%d"), ("?rolling=daily", "%Y-%m-%d"), ("?rolling=hourly", "%Y-%m-%d-%H"),
     ("?rolling=minutely", "%Y-%m-%d-%H-%M")],
)  # fmt: skip
def test_file_has_the_utc_date_and_a_link_with_the_plain_name(
    tmp_path: Path, rolling: str, pattern: str
) -> None:
    before = time.strftime(pattern, time.gmtime())
    file = LogFile(f"{tmp_path}/deep/a.log{rolling}")
    file.write("line\n")
    file.close()
    after = time.strftime(pattern, time.gmtime())
    link = tmp_path / "deep" / "a.log"
    assert link.is_symlink()
    assert link.readlink().name in (f"a.log.{before}", f"a.log.{after}")
    assert link.read_text() == "line\n"


def test_rolling_never_is_a_plain_file_that_is_appended_to(tmp_path: Path) -> None:
    for text in ("one\n", "two\n"):
        file = LogFile(f"{tmp_path}/a.log?rolling=never")
        file.write(text)
        file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o640


def test_a_new_period_is_a_new_file_and_no_line_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is the one part that a test cannot wait for."""
    moment = time.struct_time((2026, 1, 31, 23, 59, 59, 5, 31, 0))
    monkeypatch.setattr(time, "gmtime", lambda: moment)
    file = LogFile(f"{tmp_path}/a.log")
    file.write("old\n")
    file.flush()
    moment = time.struct_time((2026, 2, 1, 0, 0, 0, 6, 32, 0))
    file.write("new\n")
    file.flush()
    file.write("last\n")
    file.close()
    assert (tmp_path / "a.log.2026-01-31").read_text() == "old\n"
    assert (tmp_path / "a.log.2026-02-01").read_text() == "new\nlast\n"
    assert (tmp_path / "a.log").readlink() == Path("a.log.2026-02-01")
    assert len(list(tmp_path.iterdir())) == 3


def test_what_has_the_name_of_the_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("mine")
    file = LogFile(f"{tmp_path}/a.log")
    file.write("line\n")
    file.close()
    assert (tmp_path / "a.log").read_text() == "mine"
    (dated,) = tmp_path.glob("a.log.*")
    assert dated.read_text() == "line\n"


def test_directory_gets_pingap_log(tmp_path: Path) -> None:
    LogFile(f"{tmp_path}?rolling=never").close()
    assert (tmp_path / "pingap.log").exists()


def test_lines_wait_for_a_flush_until_there_are_many(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    file = LogFile(f"{path}?rolling=never")
    file.write("x\n")
    assert path.read_text() == ""
    file.flush()
    assert path.read_text() == "x\n"
    for _ in range(1200):
        file.write("y\n")
    assert path.stat().st_size > 2000
    file.close()
    assert path.stat().st_size == 2 + 2 * 1200


def test_any_text_can_be_written(tmp_path: Path) -> None:
    file = LogFile(f"{tmp_path}/a.log?rolling=never")
    file.write("ä \udc80\n")
    file.close()
    assert (tmp_path / "a.log").read_bytes() == "ä \\udc80\n".encode()


@pytest.mark.parametrize(
    ("target", "message"),
    [("a.log?rolling=yearly", "rolling=yearly: expected one of daily, hourly, minutely, never"),
     ("syslog:x", "not supported"), ("a.log?colour=red", "unknown parameter colour")],
)  # fmt: skip
def test_target_that_is_not_supported(target: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LogFile(target)


def test_parameters_of_pingaps_writer_are_accepted(tmp_path: Path) -> None:
    LogFile(f"{tmp_path}/a.log?rolling=never&channel_buffer=100&flush_timeout=1s").close()


def test_each_target_is_opened_once(tmp_path: Path) -> None:
    files = LogFiles()
    target = f"{tmp_path}/a.log?rolling=never"
    assert files.open(target) is files.open(target)
    files.open(target).write("x\n")
    files.close()
    assert (tmp_path / "a.log").read_text() == "x\n"


def test_warnings_are_written_at_once(tmp_path: Path) -> None:
    file = LogFile(f"{tmp_path}/a.log?rolling=never")
    handler = LogFileHandler(file)
    handler.emit(logging.makeLogRecord({"msg": "info", "levelno": logging.INFO}))
    assert (tmp_path / "a.log").read_text() == ""
    handler.emit(logging.makeLogRecord({"msg": "warning", "levelno": logging.WARNING}))
    assert (tmp_path / "a.log").read_text() == "info\nwarning\n"
    file.close()


def test_json_lines_hold_the_traceback() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("test_json")
    logger.addHandler(handler)
    try:
        {}["why"]
    except KeyError:
        logger.exception("failed %s", "\n")
    assert out.getvalue().count("\n") == 1
    assert (
        '"level": "ERROR", "fields": {"message": "failed \\n", "exception": "Trace'
        in out.getvalue()
    )


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("", logging.INFO), ("info", logging.INFO), ("WARN", logging.WARNING),
        ("error", logging.ERROR), ("debug", logging.DEBUG), ("trace", logging.DEBUG),
        ("off", logging.CRITICAL + 1), ("nonsense", logging.INFO),
        ("pingap::proxy=debug", logging.INFO), ("error , pingap::proxy=debug", logging.ERROR),
        ("pingap=trace,warn", logging.WARNING), ("debug,warn", logging.WARNING),
    ],
)  # fmt: skip
def test_parse_level(text: str, level: int) -> None:
    assert parse_level(text) == level


def test_a_closed_file_does_not_write_to_what_has_its_number_now(tmp_path: Path) -> None:
    file = LogFile(f"{tmp_path / 'a.log'}?rolling=never")
    file.close()
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    try:
        file.write("late\n")
        file.flush()
        assert (tmp_path / "other").read_text() == ""
        assert (tmp_path / "a.log").read_text() == "late\n"
    finally:
        os.close(other)
        file.close()


def full_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> Callable[[], None]:
    """Let a disk be full after some bytes; return what makes room."""
    write, left = os.write, [room]

    def limited(fd: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr("pingap.observability.log_files.os.write", limited)
    return lambda: left.__setitem__(0, 1 << 30)


def test_lines_that_a_full_disk_loses_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pingap.observability.log_files.MOST_KEPT", 100_000)
    path = tmp_path / "a.log"
    file = LogFile(f"{path}?rolling=never")
    make_room = full_disk(monkeypatch, 15)
    for number in range(20_000):
        file.write(f"line {number:04}\n")
    file.flush()
    assert "a.log: cannot be written: No space left on device" in caplog.text
    assert len(caplog.records) == 1
    make_room()
    file.flush()
    lines = path.read_text().splitlines()
    whole = [line for line in lines if len(line) >= 9]
    assert (len(lines), lines[0]) == (len(whole) + 1, "line 0000")  # and one that was cut
    assert len(whole) + file.lost == 20_000
    assert f"can be written again; lines lost: {file.lost}" in caplog.text
    file.write("last\n")
    file.close()
    assert path.read_text().endswith("\nlast\n")


def test_what_is_lost_at_the_end_is_counted_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = LogFile(f"{tmp_path}/a.log?rolling=never")
    full_disk(monkeypatch, 0)
    file.write("one\n")
    file.write("two\n")
    file.close()
    assert file.lost == 2
    assert "is closed; lines lost: 2" in caplog.text


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_an_open_file_is_written_to(tmp_path: Path, name: str) -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(LogTargetError, match="no such file was passed"):
            LogFile(name.format(writing))  # ours, and not passed to this process
        os.set_inheritable(writing, True)
        file = LogFile(name.format(writing))
        file.write("line\n")
        file.reopen()
        file.close()
        assert os.read(reading, 100) == b"line\n"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_fifo_without_a_reader_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    file = LogFile(str(path))
    for _ in range(100):
        file.write("x" * 4095 + "\n")
    file.flush()
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    read = b""
    while len(read) < 100 * 4096:
        file.flush()
        read += os.read(fd, 1 << 20)
    os.close(fd)
    file.close()
    assert [one.name for one in tmp_path.iterdir()] == ["fifo"]


def test_links_and_devices_are_opened_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "link").symlink_to("other")
    for name in ("null", "link"):
        file = LogFile(str(tmp_path / name))
        file.write("line\n")
        file.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "null", "other"]
    assert (tmp_path / "other").read_text() == "line\n"


def test_a_check_opens_nothing(tmp_path: Path) -> None:
    files = LogFiles(opens=False)
    files.open(f"{tmp_path}/new/a.log")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(LogTargetError, match="is not a directory"):
        files.open(f"{tmp_path}/file/a.log")


def test_threads_may_log_while_the_event_loop_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the one does that watches the event loop; each line is written once."""
    file = LogFile(f"{tmp_path}/a.log?rolling=never")
    handler = LogFileHandler(file)
    failed: list[BaseException] = []
    threads, lines = 3, 300
    write = os.write

    def write_and_let_others_run(fd: int, data: bytes) -> int:
        written = write(fd, data)
        time.sleep(0)
        return written

    def log_lines(name: int) -> None:
        try:
            for number in range(lines):
                handler.handle(logging.makeLogRecord({"msg": f"{name} {number}", "levelno": 30}))
        except BaseException as error:
            failed.append(error)

    monkeypatch.setattr(os, "write", write_and_let_others_run)
    running = [threading.Thread(target=log_lines, args=(name,)) for name in range(threads)]
    for thread in running:
        thread.start()
    while any(thread.is_alive() for thread in running):
        file.flush()
        time.sleep(0)
    file.close()
    assert not failed
    written = (tmp_path / "a.log").read_text().splitlines()
    assert sorted(written) == sorted(f"{a} {b}" for a in range(threads) for b in range(lines))


class Odd:
    """An output that takes what a test says."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.taken: list[bytes] = []

    def write(self, lines: bytes) -> int | None:
        answer = self.answers.pop(0) if self.answers else None
        self.taken.append(lines)
        return answer  # type: ignore[return-value]

    def flush(self) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("answer", [0, -1, 1000, True, "all"])
def test_an_output_that_takes_nothing_or_nonsense_holds_nobody_up(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    output = Odd(answer)
    file = LogFile("odd:secret", output=output)
    file.write("line\n")
    file.flush()
    assert len(output.taken) == 1
    assert "log odd: cannot be written" in caplog.text
    file.flush()
    assert output.taken == [b"line\n", b"line\n"]
