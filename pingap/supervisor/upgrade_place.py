"""Where the two processes of an upgrade meet: ``basic.upgrade_sock``, or a private directory."""

from __future__ import annotations

import os
from typing import Final

from pingap.config.references import absolute_path
from pingap.host.privileges import Account
from pingap.supervisor.private_folders import PlaceError, private_folder, private_folders

_NAME: Final = "upgrade.sock"


def place_to_wait(setting: str, account: Account | None) -> str:
    """Return the path of the socket at which a new process waits; creates its directory if needed.

    :param setting: ``basic.upgrade_sock``.
    :param account: the user that pingap runs as; None: this user.
    :raises PlaceError: there is none.
    """
    if setting:
        return str(absolute_path(setting))
    try:
        return str(private_folder(account) / _NAME)
    except PlaceError as error:
        text = f"no directory for the upgrade socket ({error}): set basic.upgrade_sock"
        raise PlaceError(text) from None


def places_to_look(setting: str) -> list[str]:
    """Return the paths at which a new process of this user may be waiting."""
    if setting:
        return [str(absolute_path(setting))]
    return [str(folder / _NAME) for folder in private_folders(os.geteuid())]
