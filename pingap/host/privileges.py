"""Dropping root privileges: ``basic.user`` and ``basic.group``.

They apply with and without ``-d``, to the supervisor and the workers alike: code of plugins runs in all
of them, and everything that needs root (a port below 1024) is done before. The order of a start:

====  ==========================================================================================
as    what
====  ==========================================================================================
root  load the configuration; ``account_problems``, ``find_account``, ``check_permitted``
user  (``as_user``) create directories, open ``error_log``, bind sockets in the file system
root  the same where only root may, in directories that only root can change (``trusted_files``)
root  bind the listening sockets of TCP
root  ``switch_to``
user  open the log files; read keys and secrets; build the runtime; write the pid file
user  fork the workers, each of which calls ``end_with_parent`` first (the switch would undo it)
====  ==========================================================================================

Log files are opened after the switch because they are reopened later: at midnight, on a signal, and by a
worker that replaces another one. If the user may not open a file, the start fails, not the rotation at
midnight. For the same reason, keys and secrets are read by the user: a reload reads them again. Files that
root has left in such a directory do not become the user's: a directory that another user can write in can
contain a link to any file.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pingap.config import BasicConfig, Config, Problem, quoted
from pingap.config.problem import did_you_mean
from pingap.host.log_targets import open_log
from pingap.host.trusted_files import make_trusted_folder, open_trusted

log = logging.getLogger("pingap")

_FOLDER_MODE: Final = 0o750
_HINT: Final = " (does the container lack CAP_SETUID and CAP_SETGID?)"


class PrivilegeError(Exception):
    """The process cannot become the configured user; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Account:
    """The identity to switch to.

    :param uid: the user's ID.
    :param gid: the group's ID.
    :param user: the user's name; empty: only the group changes.
    :param group: the group's name, if it was configured.
    """

    uid: int
    gid: int
    user: str
    group: str = ""

    @property
    def is_current(self) -> bool:
        """Whether this process already has the identity, as in a container or under systemd."""
        ids = {os.getuid(), os.geteuid()}, {os.getgid(), os.getegid()}
        # Root has other groups than those of the account, even if it remains root.
        return ids == ({self.uid}, {self.gid}) and (self.uid != 0 or not self.group)

    def __str__(self) -> str:
        user = f"user {quoted(self.user)}" if self.user else ""
        group = f"group {quoted(self.group)}" if self.group else ""
        return " and ".join(filter(None, (user, group)))


def account_problems(config: Config) -> list[Problem]:
    """Return what is wrong with ``basic.user`` and ``basic.group`` on this machine."""
    problems = []
    for key, find in (("user", _find_user), ("group", _find_group)):
        name = getattr(config.basic, key)
        try:
            if name:
                find(name)
        except LookupError as error:
            problems.append(config.source.problem(("basic", key), str(error.args[0])))
    return problems


def find_account(basic: BasicConfig) -> Account | None:
    """Return the account that the configuration names; ``None``: the user who starts pingap.

    :raises LookupError: there is no such user or group (see ``account_problems``).
    """
    if not basic.user and not basic.group:
        return None
    uid, gid = os.geteuid(), os.getegid()
    if basic.user:
        found = _find_user(basic.user)
        uid, gid = found.pw_uid, found.pw_gid
    if basic.group:
        gid = _find_group(basic.group).gr_gid
    return Account(uid, gid, basic.user, basic.group)


def check_permitted(account: Account) -> None:
    """Check, before anything is opened, that ``switch_to`` will be permitted.

    :raises PrivilegeError: only root may change its identity.
    """
    if os.geteuid() == 0 or account.is_current:
        return
    key = "basic.user" if account.user else "basic.group"
    raise PrivilegeError(
        f"{key}: cannot become {account}: pingap was started by {_own_name()}, and only root can."
        f" Start it as root or as that user, or omit the key"
    )


def switch_to(account: Account) -> None:
    """Become the user with all its groups, permanently.

    :raises PrivilegeError: the system refuses it, or root could be regained.
    """
    check_permitted(account)
    if account.is_current:
        return
    try:
        _set_groups(account)
        os.setgid(account.gid)
        os.setuid(account.uid)
    except OSError as error:
        raise PrivilegeError(f"cannot become {account}: {error.strerror}{_HINT}") from None
    _verify(account)
    for file in (str(os.__file__), __file__):  # a file of the standard library, and one of ours
        if not os.access(file, os.R_OK):
            text = "%s cannot read %s: code that is loaded later will not be found"
            log.warning(text, account, file)


def _set_groups(account: Account) -> None:
    if account.user:
        os.initgroups(account.user, account.gid)
    else:
        os.setgroups([account.gid])


@contextmanager
def as_user(account: Account | None) -> Iterator[None]:
    """Run the block with the rights of the account, if root runs this process.

    For files in directories of that user, where root would follow links to any file.

    :raises PrivilegeError: the system refuses it.
    """
    if account is None or os.geteuid() != 0 or account.uid == 0:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    try:
        _set_groups(account)
        os.setegid(account.gid)
        os.seteuid(account.uid)
    except OSError as error:
        raise PrivilegeError(f"cannot become {account}: {error.strerror}{_HINT}") from None
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def make_folder(folder: Path, account: Account) -> None:
    """Create a directory and its missing parents; created directories belong to the account.

    :param folder: absolute.
    :raises OSError: it cannot be created.
    """
    with as_user(account):
        try:
            if not folder.exists():
                folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        except PermissionError:
            pass
        else:
            return
    make_trusted_folder(folder, _FOLDER_MODE, account.uid, account.gid)


def open_for(path: Path, account: Account | None) -> int:
    """Open a log file that the account will own; standard streams and devices are opened unchanged.

    :param path: absolute.
    :raises OSError: it cannot be opened.
    :raises LogTargetError: it refers to an open file that does not exist.
    """
    try:
        with as_user(account):
            return open_log(path)
    except PermissionError:
        if account is None or os.geteuid() != 0:
            raise
    make_folder(path.parent, account)
    flags = os.O_WRONLY | os.O_APPEND
    try:
        fd = open_trusted(path, flags | os.O_CREAT | os.O_EXCL)
    except FileExistsError:  # owned by root, perhaps from a start without a user
        return open_trusted(path, flags)
    os.fchown(fd, account.uid, account.gid)
    return fd


def _find_user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        hint = did_you_mean(name, (one.pw_name for one in pwd.getpwall()))
        raise LookupError(f"there is no user {quoted(name)} on this machine{hint}") from None


def _find_group(name: str) -> grp.struct_group:
    try:
        return grp.getgrnam(name)
    except (KeyError, ValueError):
        hint = did_you_mean(name, (one.gr_name for one in grp.getgrall()))
        raise LookupError(f"there is no group {quoted(name)} on this machine{hint}") from None


def _own_name() -> str:
    try:
        return quoted(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return f"user {os.geteuid()}"


def _verify(account: Account) -> None:
    """Fail if an ID is wrong, or root could be regained."""
    ids = (os.getuid(), os.geteuid(), os.getgid(), os.getegid())
    if ids != (account.uid, account.uid, account.gid, account.gid):
        raise PrivilegeError(f"became {ids} and not {account}")
    if account.uid == 0:
        return
    for regain in (os.setuid, os.seteuid):
        try:
            regain(0)
        except OSError:
            continue
        raise PrivilegeError(f"became {account}, but could become root again")
