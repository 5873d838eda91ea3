"""Which file systems may keep a system call waiting: those behind a network, or in another process."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_REMOTE: Final = re.compile(
    r"(nfs4?|cifs|smb3?|smbfs|9p|afs|ceph|glusterfs|gfs2|lustre|ocfs2|virtiofs|fuse(\..*)?|fuseblk)"
)


@lru_cache(maxsize=256)
def is_remote(device: int) -> bool:
    """Return whether files of a device may be slow to find. What is not known counts as local.

    :param device: ``st_dev`` of a file.
    """
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False  # not Linux
    return f"{os.major(device)}:{os.minor(device)}" in remote_devices(lines)


def remote_devices(lines: list[str]) -> set[str]:
    """Return the devices of remote file systems: ``major:minor``.

    :param lines: those of ``mountinfo`` (proc(5)).
    """
    found: set[str] = set()
    for line in lines:
        mount, _, filesystem = line.partition(" - ")
        if _REMOTE.fullmatch(filesystem.partition(" ")[0]):
            found.add(mount.split(" ")[2])
    return found
