"""Giving up the rights of root: ``basic.user`` and ``basic.group``.

They count with and without ``-d``, for the supervisor and the workers alike: code of plugins runs in
all of them, and what only root can do (a port below 1024) is done before. The order of a start:

====  ==========================================================================================
as    what
====  ==========================================================================================
root  load the configuration; ``account_problems``, ``find_account``, ``check_permitted``
root  open ``error_log`` (``daemonize``): it stays open, whoever owns it
root  ``make_folder`` for the folders of log files, ``pid_file`` and ``upgrade_sock``
root  bind the listening sockets; ``make_over`` those in the file system
root  ``switch_to``
user  open the log files; read keys and secrets; build the runtime; write the pid file
user  fork the workers, each of which calls ``end_with_parent`` first (the switch would undo it)
====  ==========================================================================================

Log files are opened after the switch because they are opened again then: at midnight, at a signal, and
by a worker that takes a dead one's place. What the user may not open fails at the start and not at
midnight. For the same reason keys and secrets are read by the user: a reload reads them again. Files
that root has left in such a folder are not made over to the user: a folder that somebody else may write
in can hold a link to any file. ``/dev/stdout`` and ``/dev/stderr`` cannot be opened again after a switch.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pingap
from pingap.config import BasicConfig, Config, Problem, quoted
from pingap.config.problem import did_you_mean

log = logging.getLogger("pingap")

_FOLDER_MODE: Final = 0o750


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
        f" Start it as root or as that user, or leave the key out"
    )


def switch_to(account: Account) -> None:
    """Become the user with all its groups, for good.

    :raises PrivilegeError: the system refuses it, or the way back is open.
    """
    check_permitted(account)
    if account.is_current:
        return
    try:
        if account.user:
            os.initgroups(account.user, account.gid)
        else:
            os.setgroups([account.gid])
        os.setgid(account.gid)
        os.setuid(account.uid)
    except OSError as error:
        hint = " (does the container lack CAP_SETUID and CAP_SETGID?)"
        raise PrivilegeError(f"cannot become {account}: {error.strerror}{hint}") from None
    _verify(account)
    for module in (os, pingap):  # of the standard library, and ours
        if not os.access(str(module.__file__), os.R_OK):
            text = "%s cannot read %s: code that is loaded later will not be found"
            log.warning(text, account, module.__file__)


def make_folder(folder: Path, account: Account) -> None:
    """Make a folder and those above that are missing; what was made belongs to the account.

    :raises OSError: it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with suppress(FileExistsError):  # made by somebody else meanwhile: then it is not ours
            one.mkdir(mode=_FOLDER_MODE)
            make_over(one, account)


def make_over(path: Path, account: Account) -> None:
    """Let the account own what this process has just made; a link is not followed.

    :raises OSError: it cannot be changed.
    """
    os.chown(path, account.uid, account.gid, follow_symlinks=False)


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
