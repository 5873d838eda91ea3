"""Where the control socket of an instance is.

Its name is ``pingap-<pid>.sock``. It is beside the PID file, if ``basic.pid_file`` is set; otherwise in
``$RUNTIME_DIRECTORY`` of systemd, or in the private directory of the user that pingap runs as. If one of them
cannot be used, it is in the next one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from pingap.config.references import absolute_path
from pingap.host.privileges import Account
from pingap.supervisor.private_folders import PlaceError, private_folder, private_folders

_NAME: Final = re.compile(r"pingap-\d+\.sock")
_OF_SERVICES: Final = "/run/pingap"
"""``RuntimeDirectory`` of the unit in ``contrib/systemd``."""


def socket_name(pid: int) -> str:
    """Return the name of the control socket of a process."""
    return f"pingap-{pid}.sock"


def folders_to_use(pid_file: str, account: Account | None) -> list[Path]:
    """Return the directories in which a process may open its socket; the private one is created.

    :param pid_file: ``basic.pid_file``.
    :param account: the user that pingap runs as; None: this user.
    """
    folders = [absolute_path(pid_file).parent] if pid_file else []
    folders += _of_service()
    try:
        folders.append(private_folder(account))
    except PlaceError:
        if not folders:
            folders.append(Path(_OF_SERVICES))
    return folders


def sockets_to_try(pid_file: str) -> Iterator[Path]:
    """Yield the sockets of instances that this user may control, some of which may have ended.

    :param pid_file: ``basic.pid_file`` of the instance, if known.
    """
    seen = set()
    for folder in _folders_to_look(pid_file):
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                if _NAME.fullmatch(path.name) and path not in seen:
                    seen.add(path)
                    yield path


def _folders_to_look(pid_file: str) -> Iterator[Path]:
    if pid_file:
        yield absolute_path(pid_file).parent
    yield from _of_service()
    yield Path(_OF_SERVICES)
    yield from private_folders(os.geteuid())
    if os.geteuid() == 0:  # root controls the instances of all users
        for parent in ("/run", "/tmp"):  # noqa: S108 - what answers there is checked
            yield from sorted(Path(parent).glob("pingap-*/"))


def _of_service() -> list[Path]:
    return [Path(one) for one in os.environ.get("RUNTIME_DIRECTORY", "").split(":") if one]
