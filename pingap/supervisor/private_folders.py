"""Directories for the sockets of this user's instances, which no other user can enter.

All processes derive the same paths from the user that pingap runs as, regardless of their environments.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pingap.host.privileges import Account, PrivilegeError, as_user

_FOLDERS: Final = ("/run", "/tmp")  # noqa: S108 - a folder of ours in it, which is checked
_MODE: Final = 0o700


class PlaceError(Exception):
    """There is no such directory; the message gives the reason."""


def private_folder(account: Account | None) -> Path:
    """Return the directory; create it if needed.

    :param account: the user that pingap runs as; None: this user.
    :raises PlaceError: there is none.
    """
    uid = os.geteuid() if account is None else account.uid
    reasons = []
    for folder in _default_folders(uid):
        try:
            _make(folder, account)
            _check(folder, uid)
        except (OSError, PlaceError) as error:
            reasons.append(f"{folder}: {getattr(error, 'strerror', None) or error}")
        else:
            return folder
    raise PlaceError("; ".join(reasons))


def private_folders(uid: int) -> Iterator[Path]:
    """Yield the directories of a user that exist and can be trusted."""
    for folder in _default_folders(uid):
        try:
            _check(folder, uid)
        except (OSError, PlaceError):
            continue
        yield folder


def _default_folders(uid: int) -> Iterator[Path]:
    for folder in _FOLDERS:
        yield Path(folder, f"pingap-{uid}")


def _make(folder: Path, account: Account | None) -> None:
    """Create the directory, as the user who will use it, or as root in a directory of root."""
    try:
        with as_user(account):
            folder.mkdir(_MODE)
    except FileExistsError:
        return
    except PrivilegeError as error:
        raise PlaceError(str(error)) from None
    except PermissionError:
        if account is None or os.geteuid() != 0:
            raise
        folder.mkdir(_MODE)
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def _check(folder: Path, uid: int) -> None:
    """Trust a directory only if no user other than this one and root can enter it.

    :raises PlaceError: it belongs to another user.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise PlaceError(f"expected a directory of user {uid} with mode 0700")
