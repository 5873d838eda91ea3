"""Kinds of settings with a meaning: secrets, expressions, networks, references to upstreams.

Each is the type of a field of a pydantic model, like ``Duration`` and ``ByteSize`` (``units``): text in
TOML, checked when the configuration is loaded, ready for use in Python. In JSON Schema, each has its own
``format`` (``pingap-secret``), so that tools know its meaning; the standard formats ``regex`` and
``duration`` stand for other syntaxes than ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pingap.config.environment import ENVIRONMENT, FromEnvironment, from_environment
from pingap.config.network_lists import NetworkEntry, read_entry
from pingap.config.problem import did_you_mean, quoted, shortened
from pingap.config.references import expanded, file_reference
from pingap.config.regex import LinearPattern, Pattern, compile_regex
from pingap.config.regular_files import open_regular, read_regular
from pingap.config.units import wrong_type

SECRET_LIMIT: Final = 1024 * 1024
"""Maximum size of a secret file in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The context with which pydantic validates, needed by values that refer to something.

    Without it, relative paths are relative to the working directory, and names are not checked.

    :param directory: the base of relative paths.
    :param upstreams: names of the configured upstreams.
    """

    directory: Path = Path()
    upstreams: Collection[str] | None = None


def surroundings(info: ValidationInfo) -> Surroundings:
    """Return the context of a validation."""
    return info.context if isinstance(info.context, Surroundings) else Surroundings()


class Secret(SecretStr):
    """The type of a key that holds a secret: masked in logs, errors, dumps and ``repr``.

    In TOML it is the secret itself, ``$ENV:NAME`` for an environment variable, or ``file:PATH`` for the
    text of a file (without its final newline), relative to the configuration. A variable or file that is
    missing or empty is a configuration error. ``get_secret_value()`` returns the text.
    """

    path: Path | None = None
    """The file that the secret comes from; None if it is from another place."""

    def read_again(self) -> str:
        """Return the text that the file contains now; without a file, that of the configuration.

        For :class:`pingap.WatchedFiles`. The result is not masked.

        :raises ValueError: the file is missing, empty or unreadable; the message does not show its text.
        """
        return self.get_secret_value() if self.path is None else _from_file(self.path)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "format": "pingap-secret",
            "writeOnly": True,
            "description": "A secret, or where it is: $ENV:NAME or file:PATH.",
            "examples": ["$ENV:API_TOKEN", "file:secrets/api_token"],
        }

    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> Secret:
        if isinstance(value, SecretStr):
            secret = cls(value.get_secret_value())
            secret.path = getattr(value, "path", None)
            return secret
        if not isinstance(value, str):
            raise wrong_type(value, "a string")
        if isinstance(value, FromEnvironment) and file_reference(value.written) is None:
            return cls(str(value))  # whatever it looks like, it is the secret
        directory = surroundings(info).directory
        secret = cls(resolve_secret(value, directory))
        if (path := file_reference(value)) is not None:
            secret.path = (directory / path).absolute()
        return secret


def resolve_secret(text: str, directory: Path) -> str:
    """Return the secret that a text contains or refers to.

    :param directory: the base of relative paths.
    :raises ValueError: with a message for the operator: the variable or file is missing or empty.
    """
    if text.startswith(ENVIRONMENT):
        return from_environment(text.removeprefix(ENVIRONMENT))
    if (path := file_reference(text)) is not None:
        return _from_file(directory / path)
    return text


def _from_file(path: Path) -> str:
    shown = quoted(str(path))
    try:
        data = read_regular(path, SECRET_LIMIT)
        text = data.decode()
    except OSError as error:
        raise ValueError(f"the secret file {shown} cannot be read: {error.strerror}") from None
    except ValueError:  # also for an impossible path
        raise ValueError(f"the secret file {shown} is not UTF-8 text") from None
    if len(data) > SECRET_LIMIT:
        raise ValueError(f"the secret file {shown} is larger than {SECRET_LIMIT} bytes")
    text = text.removesuffix("\n").removesuffix("\r")  # added by editors
    if not text:
        raise ValueError(f"the secret file {shown} is empty")
    return text


def _read_regex(value: object) -> Pattern:
    if isinstance(value, re.Pattern | LinearPattern):
        return value
    if not isinstance(value, str):
        raise wrong_type(value, "a regular expression")
    return compile_regex(value)


Regex = Annotated[
    Pattern,
    PlainValidator(_read_regex),
    PlainSerializer(lambda pattern: pattern.pattern, return_type=str, when_used="json-unless-none"),
    WithJsonSchema(
        {
            "type": "string",
            "format": "pingap-regex",
            "description": "A regular expression in the syntax of Rust's regex.",
            "examples": ["^/api/v[0-9]+/"],
        }
    ),
]
"""The type of a key that holds a regular expression: text in TOML, a compiled pattern in Python.

The syntax is that of all expressions in the configuration (Rust's ``regex``), and matching always takes
linear time. The value has the methods of ``re.Pattern``; ``search`` matches anywhere unless the
expression is anchored.
"""


def _read_network(value: object, info: ValidationInfo) -> NetworkEntry:
    if isinstance(value, NetworkEntry):
        return value
    if not isinstance(value, str):
        raise wrong_type(value, "an IP address or network")
    return read_entry(value, surroundings(info).directory)


_Network = Annotated[
    NetworkEntry,
    PlainValidator(_read_network),
    PlainSerializer(str, return_type=str, when_used="json-unless-none"),
    WithJsonSchema(
        {
            "type": "string",
            "format": "pingap-network",
            "description": "An IP address, a network in CIDR notation, private, loopback, link-local or cgnat,"
            " or file:PATH for a file with one of them on each line.",
            "examples": ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "private", "file:proxies.txt"],
        }
    ),
]

Networks = Annotated[tuple[_Network, ...], Field(strict=False)]
"""The type of a key that lists addresses and networks: an array of text in TOML, networks in Python.

An entry may also be the name of well-known networks (``private``), or ``file:PATH``, whose content follows the file.

``ip_address(ctx.client_ip(request)) in network`` tests whether a client is in one of them.
"""


def _read_file_path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value.absolute()
    if not isinstance(value, str) or not value:
        raise wrong_type(value, "the path of a file")
    path = (surroundings(info).directory / expanded(value)).absolute()
    try:
        with open_regular(path):
            return path
    except OSError as error:
        raise ValueError(f"{quoted(str(path))} cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in it
        raise ValueError(f"{shortened(value)} is not the path of a file") from None


FilePath = Annotated[
    Path,
    PlainValidator(_read_file_path),
    PlainSerializer(str, return_type=str, when_used="json-unless-none"),
    WithJsonSchema(
        {
            "type": "string",
            "format": "pingap-file",
            "description": "The path of a file, relative to the configuration.",
            "examples": ["users.htpasswd", "/etc/pingap/users.htpasswd"],
        }
    ),
]
"""The type of a key that names a file: text in TOML, an absolute path in Python.

The path is relative to the configuration, and ``~`` is the home directory. A file that is missing or cannot
be read is a configuration error. :class:`pingap.WatchedFiles` reads it again when it changes.
"""


def _read_directory_path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or value == "":
        raise wrong_type(value, "the path of a directory")
    path = (surroundings(info).directory / expanded(str(value))).absolute()
    try:
        is_directory = path.is_dir()
    except ValueError:  # a NUL in it
        raise ValueError(f"{shortened(str(value))} is not the path of a directory") from None
    if not is_directory:
        raise ValueError(f"{quoted(str(path))} is not a directory")
    return path


DirectoryPath = Annotated[
    Path,
    PlainValidator(_read_directory_path),
    PlainSerializer(str, return_type=str, when_used="json-unless-none"),
    WithJsonSchema(
        {
            "type": "string",
            "format": "pingap-directory",
            "description": "The path of a directory, relative to the configuration.",
            "examples": ["app", "/srv/app"],
        }
    ),
]
"""The type of a key that names a directory: text in TOML, an absolute path in Python.

The path is relative to the configuration, and ``~`` is the home directory. A directory that does not exist is a
configuration error. For the directory of the configuration as the default, write
``Field(default=Path(), validate_default=True)``.
"""


def _check_upstream(name: str, info: ValidationInfo) -> str:
    known = surroundings(info).upstreams
    if known is not None and name not in known:
        raise ValueError(f"no upstream block is named {quoted(name)}{did_you_mean(name, known)}")
    return name


UpstreamName = Annotated[
    str,
    AfterValidator(_check_upstream),
    WithJsonSchema(
        {
            "type": "string",
            "format": "pingap-upstream",
            "description": "The name of an upstream of the configuration.",
        }
    ),
]
"""The type of a key that names an upstream of the configuration.

Its value can be assigned to ``ctx.upstream``.
"""
