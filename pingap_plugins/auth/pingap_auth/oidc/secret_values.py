"""The secrets of ``oidc``, as their files contain them now."""

from __future__ import annotations

from dataclasses import dataclass

from pingap import WatchedFiles
from pingap_auth.oidc.sealed import Sealer
from pingap_auth.oidc.settings import OidcSettings


@dataclass(frozen=True, slots=True)
class SecretValues:
    """What is made from the secrets.

    :param client: the secret that the provider has given; empty for a public client.
    """

    client: str
    sessions: Sealer
    logins: Sealer


def watch_secrets(settings: OidcSettings) -> WatchedFiles[SecretValues]:
    """Return the secrets, which are read again when their files change.

    :raises ValueError: a key is missing or too short.
    """

    def read() -> SecretValues:
        keys = [one.read_again() for one in settings.session_keys]
        # The name of the client: a session for another application is none here.
        purpose = f"{settings.issuer} {settings.client_id}"
        return SecretValues(
            settings.client_secret.read_again(),
            Sealer(keys, f"session {purpose}"),
            Sealer(keys, f"login {purpose}"),
        )

    return WatchedFiles(
        read, [one.path for one in (settings.client_secret, *settings.session_keys)]
    )
