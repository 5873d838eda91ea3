"""The settings of ``oidc``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field as SettingsField

from pingap import Duration, FilePath, PluginSettings, Regex, Secret
from pingap_auth.urls import BaseUrl, OwnPath


class OidcSettings(PluginSettings):
    """Settings of ``oidc``."""

    issuer: Annotated[BaseUrl, SettingsField(min_length=1)]
    """The URL of the provider, exactly as its description (``/.well-known/openid-configuration``) says."""
    client_id: Annotated[str, SettingsField(min_length=1)]
    """The name under which pingap is registered there."""
    client_secret: Secret = Secret("")
    """The secret that the provider has given; empty for a public client."""
    session_keys: list[Secret]
    """Keys that encrypt the cookies, of at least 32 bytes; the first encrypts, all of them decrypt."""
    scopes: list[str] = SettingsField(default=["openid", "profile", "email"])
    """What is asked for; ``openid`` has to be one of them."""
    callback_path: OwnPath = "/oidc/callback"
    """The path to which the provider sends users back."""
    logout_path: OwnPath = "/oidc/logout"
    """The path that ends a session."""
    backchannel_logout_path: OwnPath | None = None
    """The path at which the provider reports logouts, if it is to (OpenID Connect Back-Channel Logout)."""
    after_logout: Annotated[str, SettingsField(pattern="^/[^?#]*$")] = "/"
    """Where a user gets to afterwards."""
    external_url: BaseUrl = ""
    """The URL of the site, if pingap cannot know it. Default: scheme and host of the request."""
    api_paths: Regex | None = None
    """Paths that are answered with 401 instead of a redirect, always."""
    required_claims: dict[str, list[str | int | bool]] = SettingsField(default={})
    """Claims that a user has to have, each with the allowed values; without values, any will do."""
    claim_headers: dict[str, str] = SettingsField(default={})
    """Headers for the upstream, each with the claim that it contains. The same headers from clients are
    removed."""
    access_token_header: str = ""
    """A header for the upstream with ``Bearer`` and the access token."""
    user_claim: str = "sub"
    """The claim that is the user in the access log."""
    session_ttl: Duration = 28800.0
    """After which time a user has to log in again."""
    cookie_name: str = "pingap_session"
    """The name of the cookie."""
    same_site: Literal["Strict", "Lax"] = "Lax"
    """``SameSite`` of the cookie."""
    secure: Literal["auto", "always"] = "auto"
    """``Secure`` of the cookie: ``auto`` sets it for https."""
    ca: FilePath | None = None
    """The certificate of the authority that has signed the certificate of the provider."""
