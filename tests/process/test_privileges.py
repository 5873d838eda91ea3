"""Becoming another user, for good. What is tried for real needs root."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from support.processes import run

from pingap.config import parse
from pingap.host.privileges import (
    Account,
    account_problems,
    check_permitted,
    find_account,
    make_folder,
)

NOBODY = pwd.getpwnam("nobody")
OTHER = next(one for one in grp.getgrall() if one.gr_gid not in (0, NOBODY.pw_gid))
OWN = pwd.getpwuid(os.geteuid()).pw_name

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SWITCH = """
import os, sys
from pingap.host.privileges import Account, PrivilegeError, switch_to
{before}
uid, gid = int(sys.argv[1]), int(sys.argv[2])
try:
    switch_to(Account(uid, gid, *sys.argv[3:]))
except PrivilegeError as error:
    sys.exit(str(error))
print(os.getuid(), os.geteuid(), os.getgid(), os.getegid(), sorted(os.getgroups()))
assert not os.access("/", os.W_OK) or uid == 0
for regain in (os.setuid, os.seteuid, os.setgid, os.setegid):
    try:
        regain(0)
    except PermissionError:
        continue
    print("regained by", regain.__name__)
"""


def switch(
    uid: int, gid: int, user: str, group: str = "", *, before: str = "", **options: object
) -> tuple[int, str, str]:
    """Switch in a process of its own; the interpreter may be where only root can read."""
    return run(SWITCH.replace("{before}", before), uid, gid, user, group, **options)


def test_unknown_names_are_problems_of_the_configuration() -> None:
    config = parse('[basic]\nuser = "noboby"\n\ngroup = "0qqqqqqqqq"\n', "c.toml")
    assert [str(one) for one in account_problems(config)] == [
        'c.toml:2: basic.user: there is no user "noboby" on this machine; did you mean "nobody"?',
        'c.toml:4: basic.group: there is no group "0qqqqqqqqq" on this machine',
    ]
    with pytest.raises(LookupError):
        find_account(config.basic)


def test_names_that_no_name_service_can_ask_for_are_unknown() -> None:
    config = parse('[basic]\nuser = "a\\u0000b"', "c")
    assert len(account_problems(config)) == 1


def test_known_names_are_no_problem() -> None:
    config = parse(f'[basic]\nuser = "nobody"\ngroup = "{OTHER.gr_name}"', "c")
    assert account_problems(config) == []
    account = find_account(config.basic)
    assert account == Account(NOBODY.pw_uid, OTHER.gr_gid, "nobody", OTHER.gr_name)


def test_without_a_group_it_is_that_of_the_user() -> None:
    account = find_account(parse('[basic]\nuser = "nobody"', "c").basic)
    assert account == Account(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")


def test_a_group_alone_leaves_the_user() -> None:
    account = find_account(parse(f'[basic]\ngroup = "{OTHER.gr_name}"', "c").basic)
    assert account == Account(os.geteuid(), OTHER.gr_gid, "", OTHER.gr_name)


def test_without_both_nothing_changes() -> None:
    assert find_account(parse("", "c").basic) is None


def test_the_own_user_is_permitted_and_no_change() -> None:
    account = find_account(parse(f'[basic]\nuser = "{OWN}"', "c").basic)
    assert account is not None
    assert account.is_current
    check_permitted(account)


@needs_root
def test_root_becomes_the_user_and_cannot_go_back() -> None:
    groups = sorted({*os.getgrouplist("nobody", NOBODY.pw_gid)})
    ids = f"{NOBODY.pw_uid} {NOBODY.pw_uid} {NOBODY.pw_gid} {NOBODY.pw_gid}"
    code, out, err = switch(NOBODY.pw_uid, NOBODY.pw_gid, "nobody", extra_groups=[0, 4])
    assert (code, out) == (0, f"{ids} {groups}\n"), err


@needs_root
def test_code_that_the_user_cannot_read_is_warned_of(tmp_path: Path) -> None:
    library = tmp_path / "os.py"
    library.touch(mode=0o600)
    before = f"os.__file__ = {str(library)!r}"
    code, _, err = switch(NOBODY.pw_uid, NOBODY.pw_gid, "nobody", before=before)
    assert code == 0
    warning = f'user "nobody" cannot read {library}: code that is loaded later will not be found\n'
    assert err.startswith(warning)


@needs_root
def test_the_group_may_be_another_one() -> None:
    gid = OTHER.gr_gid
    code, out, _ = switch(NOBODY.pw_uid, gid, "nobody", OTHER.gr_name)
    assert code == 0
    first, _, groups = out.partition(" [")
    assert first == f"{NOBODY.pw_uid} {NOBODY.pw_uid} {gid} {gid}"
    assert str(gid) in groups
    assert "regained" not in out


@needs_root
def test_a_group_alone_replaces_all_groups() -> None:
    gid = OTHER.gr_gid
    code, out, _ = switch(0, gid, "", OTHER.gr_name, extra_groups=[0, 4])
    assert code == 0
    assert out.startswith(f"0 0 {gid} {gid} [{gid}]\n")


@needs_root
def test_others_than_root_are_refused_with_a_way_out() -> None:
    before = f"os.setgid({NOBODY.pw_gid}); os.setuid({NOBODY.pw_uid})"
    code, out, err = switch(0, 0, "root", before=before)
    assert (code, out) == (1, "")
    assert err == (
        'basic.user: cannot become user "root": pingap was started by "nobody", and only root can.'
        " Start it as root or as that user, or omit the key\n"
    )
    _, _, err = switch(NOBODY.pw_uid, 4, "", "adm", before=before)
    assert err.startswith('basic.group: cannot become group "adm": pingap was started by "nobody"')


@needs_root
def test_an_effective_user_alone_is_not_enough() -> None:
    """The saved id of root would be a way back."""
    code, _, err = switch(65534, 65534, "nobody", before="os.seteuid(65534)")
    assert code == 1
    assert "only root can" in err


@needs_root
def test_a_way_back_is_noticed() -> None:
    """With this security bit the kernel lets a process keep its capabilities over the switch."""
    before = """
import ctypes
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(28, 1 << 2) == 0, ctypes.get_errno()  # PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP
"""
    code, _, err = switch(NOBODY.pw_uid, NOBODY.pw_gid, "nobody", before=before)
    assert (code, err) == (1, 'became user "nobody", but could become root again\n')


@needs_root
def test_a_missing_capability_is_told() -> None:
    code = """
import ctypes
assert ctypes.CDLL(None).prctl(24, 7) == 0  # PR_CAPBSET_DROP, CAP_SETUID
import os, sys
if "again" not in sys.argv:
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], *sys.argv[2:], "again"])
"""
    inner = SWITCH.replace("*sys.argv[3:]", "sys.argv[3]").replace("{before}", "")
    code, _, err = run(code, inner, NOBODY.pw_uid, NOBODY.pw_gid, "nobody")
    assert code == 1
    assert err == (
        'cannot become user "nobody": Operation not permitted'
        " (does the container lack CAP_SETUID and CAP_SETGID?)\n"
    )


@needs_root
def test_folders_that_were_made_belong_to_the_user_and_others_do_not(tmp_path: Path) -> None:
    account = Account(NOBODY.pw_uid, OTHER.gr_gid, "nobody")
    make_folder(tmp_path / "a" / "b", account)
    make_folder(tmp_path / "a" / "b", account)
    for folder in ("a", "a/b"):
        made = (tmp_path / folder).stat()
        assert (made.st_uid, made.st_gid) == (NOBODY.pw_uid, OTHER.gr_gid)
        assert made.st_mode & 0o007 == 0
    assert tmp_path.stat().st_uid == 0


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    account = Account(os.geteuid(), os.getegid(), OWN)
    with pytest.raises(OSError, match="Not a directory"):
        make_folder(tmp_path / "file" / "logs", account)
