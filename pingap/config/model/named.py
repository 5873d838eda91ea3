"""``[plugins.<name>]``, ``[certificates.<name>]``, ``[storages.<name>]``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pingap.config.kinds import Secret
from pingap.config.model.base import Claimable, Model, Natural
from pingap.config.units import Duration


class PluginConfig(Model):
    """A configured plugin: its implementation, and the options of that."""

    category: Annotated[str, Field(min_length=1)] = Field(
        description="Name of the implementation, from an installed distribution, or `python`."
    )
    step: str = Field("", description="The phase in which it runs, for categories with a choice.")
    fail_open: bool = Field(
        False, description="Let requests pass if the plugin fails. Only for classes that allow it."
    )
    timeout: Duration | None = Field(
        None,
        description="How long an async hook may take before it is cancelled and counted as failed. "
        "Default: `30s`. If the plugin has a setting with this name, the key is that setting.",
    )
    remark: str = Field("", description="A comment.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,  # may contain secrets
        description="Not a key of its own: all other keys, which the plugin itself checks.",
    )


class CertificateConfig(Claimable):
    """A certificate, or an authority that signs certificates on demand."""

    domains: str = Field(
        "",
        description="Names to serve it for, separated by commas; empty: those in the certificate.",
    )
    tls_cert: str = Field(
        "", description="The certificate and its chain: PEM, base64 of PEM, or a file."
    )
    tls_key: Secret = Field(Secret(""), description="Private key: PEM, base64 of PEM, or a file.")
    is_default: bool = Field(
        False, description="Serve it for names without a certificate, and to clients without SNI."
    )
    is_ca: bool = Field(
        False, description="Use it as an authority that signs certificates on demand."
    )
    buffer_days: Natural = Field(0, description="Warn this many days before it expires; 0: 7 days.")
    remark: str = Field("", description="A comment.")


class StorageConfig(Model):
    """A text for ``includes``."""

    category: str = Field(description="Free text without effect.")
    value: Secret = Field(description="Lines of TOML.")
    secret: Secret = Field(
        Secret(""), description="Not empty: the value is encrypted with it (`pingap secret`)."
    )
    created_at: Natural = Field(0, description="Unix time of its creation.")
    remark: str = Field("", description="A comment.")
