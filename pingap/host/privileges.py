"""Giving up the rights of root: ``basic.user`` and ``basic.group``.

They count with and without ``-d``, for the supervisor and the workers alike: code of plugins runs in
all of them, and what only root can do (a port below 1024) is done before. The order of a start:

====  ==========================================================================================
as    what
====  ==========================================================================================
root  load the configuration; ``account_problems``, ``find_account``, ``check_permitted``
user  (``as_user``) make folders, open ``error_log``, bind sockets in the file system
root  the same where only root may, in folders that only root can change (``trusted_files``)
root  bind the listening sockets of TCP
root  ``switch_to``
user  open the log files; read keys and secrets; build the runtime; write the pid file
user  fork the workers, each of which calls ``end_with_parent`` first (the switch would undo it)
====  ==========================================================================================

Log files are opened after the switch because they are opened again then: at midnight, at a signal, and
by a worker that takes a dead one's place. What the user may not open fails at the start and not at
midnight. For the same reason keys and secrets are read by the user: a reload reads them again. Files
that root has left in such a folder are not made over to the user: a folder that somebody else may write
in can hold a link to any file.
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
    """The process cannot become the user it is to be; the message says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom to become.

    :param uid: the user's number.
    :param gid: the number of the group.
    :param user: the user's name; empty: the user stays, only the group is another one.
    :param group: the group's name, if it was configured.
    """

    uid: int
    gid: int
    user: str
    group: str = ""

    @property
    def is_current(self) -> bool:
        """Whether this process has the identity already, as in a container or under systemd."""
        ids = {os.getuid(), os.geteuid()}, {os.getgid(), os.getegid()}
        # Root has other groups than those of the account, even if it is to stay root.
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
    """Return whom the configuration wants to serve; ``None``: whoever starts it.

    :raises LookupError: there is no such user or group, as ``account_problems`` tells.
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
    """Find out before anything is opened that ``switch_to`` would be refused.

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
    """Become the user with all its groups, for good.

    :raises PrivilegeError: the system refuses it, or the way back is open.
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
    for file in (str(os.__file__), __file__):  # of the standard library, and ours
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
    """Do what is in the block with the rights of the account, if root runs this process.

    For files in folders of that user, where root would follow a link to anywhere.

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
    """Make a folder and those above that are missing; what was made belongs to the account.

    :param folder: absolute.
    :raises OSError: it cannot be made.
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
    """Open a log file that the account is to own; standard streams and devices are taken as they are.

    :param path: absolute.
    :raises OSError: it cannot be opened.
    :raises LogTargetError: it means an open file that is not there.
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
    except FileExistsError:  # of root, from a start without a user perhaps
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
    """Refuse to go on if an id is not what it must be, or root can be had again."""
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
