"""Single-file plugins beside the configuration: ``category = "python"``, without packaging.

The file is read again each time it is loaded, and no cache is written beside it. It runs with the
privileges of the proxy, so a file that every user can write is rejected.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import stat
import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from pydantic import Field

from pingap.config.model import Model
from pingap.config.problem import did_you_mean, quoted
from pingap.config.regular_files import read_regular
from pingap.hookspecs import INSTANCE_HOOKS
from pingap.plugins.base import Plugin
from pingap.plugins.chains import LOCAL, ContractError, check_class

SOURCE_LIMIT: Final = 4 * 1024 * 1024
"""Size limit of a plugin file, in bytes."""
CATEGORY: Final = "python"
"""The category whose plugins are files."""


class FileKeys(Model):
    """The keys of ``[plugins.<name>]`` that belong to the category, and not to the plugin."""

    path: str = Field(min_length=1, description="The file, relative to the configuration.")
    class_: str | None = Field(
        None, alias="class", description="The plugin class, if the file defines several."
    )


KEYS: Final = tuple(field.alias or name for name, field in FileKeys.model_fields.items())
"""Their names in TOML."""


class LocalPluginError(Exception):
    """A file cannot be used as a plugin.

    :param line: the line in the file that is wrong, if known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def load_module(path: Path) -> ModuleType:
    """Run a plugin file, under a module name that no other module has.

    A later call runs the file's new content; if it fails, the previously loaded module stays.

    :raises LocalPluginError: it cannot be read, is writable by everyone, or fails.
    """
    name = module_name(path)
    before = sys.modules.get(name)
    code = _compile(path)
    spec = spec_from_file_location(name, path.absolute(), loader=SourceFileLoader(name, str(path)))
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pydantic look up annotations
    try:
        exec(code, module.__dict__)  # noqa: S102 - which is what the operator asks for
    except BaseException as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        text = f"cannot be loaded: {type(error).__name__}: {error}"
        raise LocalPluginError(text, _line_of(error, code.co_filename)) from error
    return module


def find_class(module: ModuleType, name: str | None = None) -> type[Plugin]:
    """Return the plugin class that a file defines, checked against the contract.

    :param name: the class to use if there are several.
    :raises LocalPluginError: there is none, there are several, or it breaks the contract.
    """
    classes = {
        cls.__name__: cls
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, Plugin) and cls.__module__ == module.__name__
    }
    cls = classes[_choose(list(classes), name)]
    if not hasattr(cls, "category"):
        cls.category = CATEGORY
    try:
        check_class(cls)
        _check_for_one_file(cls)
    except ContractError as error:
        line = inspect.getsourcelines(error.where or cls)[1]
        raise LocalPluginError(str(error), line) from None
    return cls


def _check_for_one_file(cls: type[Plugin]) -> None:
    """Reject definitions without effect in a file that is not installed and shares its table.

    :raises ContractError: an application hook, or a setting that has the name of one of our keys.
    """
    own = [base for base in cls.__mro__ if base not in Plugin.__mro__]
    for name in (name for base in own for name in vars(base)):
        if name.startswith("pingap_") and name not in ("pingap_balancers", *INSTANCE_HOOKS):
            raise ContractError(f"{cls.__name__}.{name}: only distributions have application hooks")
    for key in KEYS:
        if key in cls.Settings.model_fields:
            raise ContractError(f'{cls.__name__}: "{key}" cannot be a setting of its own here')


def _choose(names: list[str], wanted: str | None) -> str:
    if not names:
        raise LocalPluginError("defines no plugin: a class based on pingap.Plugin")
    listed = ", ".join(names)
    if wanted is None:
        if len(names) > 1:
            raise LocalPluginError(
                f'defines several plugins ({listed}): choose one with class = "{names[0]}"'
            )
        return names[0]
    if wanted not in names:
        hint = did_you_mean(wanted, names) or f" (plugins: {listed})"
        raise LocalPluginError(f"defines no plugin {quoted(wanted)}{hint}")
    return wanted


def module_name(path: Path) -> str:
    """Return the module name under which a file is loaded, made from its name and its path."""
    place = str(path.resolve())
    stem = re.sub(r"\W", "_", path.stem)
    return f"{LOCAL}{stem}_{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def _compile(path: Path) -> CodeType:
    try:
        _refuse_if_open_to_everyone(path)
        source = read_regular(path, SOURCE_LIMIT)
    except OSError as error:
        raise LocalPluginError(f"cannot be read: {error.strerror}") from None
    if len(source) > SOURCE_LIMIT:
        raise LocalPluginError(f"is larger than {SOURCE_LIMIT} bytes")
    try:
        return compile(source, str(path.absolute()), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise LocalPluginError(f"is not valid Python: {error.msg}", error.lineno) from None
    except ValueError as error:  # null bytes, in Python 3.11
        raise LocalPluginError(f"is not valid Python: {error}") from None


def _refuse_if_open_to_everyone(path: Path) -> None:
    """Reject a file that any user of the machine can write or replace."""
    real = path.resolve()
    if real.stat().st_mode & stat.S_IWOTH:
        raise LocalPluginError("is writable by everyone: chmod o-w it")
    directory = real.parent.stat().st_mode
    if directory & stat.S_IWOTH and not directory & stat.S_ISVTX:
        raise LocalPluginError("is in a directory that is writable by everyone: chmod o-w it")


def _line_of(error: BaseException, file: str) -> int | None:
    """Return the line of the file that raised an error."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)
