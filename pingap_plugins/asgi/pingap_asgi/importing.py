"""Finding an application by its name; every mistake is a ``ValueError`` that says what to change."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from pingap_asgi.protocol import App

_TARGET = re.compile(
    r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)"
)


def load(target: str, directory: Path) -> Any:
    """Import what a target names: an application, or a function that makes it.

    :param target: ``package.module:attribute``.
    :param directory: searched after ``sys.path``, and stays in it for later imports of the application.
    :raises ValueError: there is no such thing, or its module raises.
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        raise ValueError(f'"{target}" is not of the form "package.module:app"')
    found: Any = _module(match["module"], directory)
    for part in match["name"].split("."):
        if not hasattr(found, part):
            raise ValueError(f'"{target}": {_missing(found, part)}')
        found = getattr(found, part)
    return found


def check_app(app: object, target: str) -> App:
    """Return an object if it can be an ASGI 3.0 application.

    :raises ValueError: it cannot.
    """
    if not callable(app):
        raise ValueError(f'"{target}" is {_a(app)}, which cannot be called')  # noqa: TRY004  # of the configuration
    if inspect.isclass(app):
        raise ValueError(
            f'"{target}" is a class, not an application; set asgi_factory if it makes one'
        )
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return cast("App", app)
    match _arguments(app):
        case 0:
            raise ValueError(
                f'"{target}" takes no arguments; set asgi_factory if it makes the application'
            )
        case 1:
            raise ValueError(
                f'"{target}" is of ASGI 2; wrap it: asgiref.compatibility.guarantee_single_callable'
            )
        case 2:
            raise ValueError(
                f'"{target}" takes two arguments, as WSGI does; wrap it: a2wsgi.WSGIMiddleware'
            )
    return cast("App", app)


def make_app(factory: object, target: str) -> App:
    """Call the function that makes an application.

    :raises ValueError: it raises, or makes something else.
    """
    if not callable(factory):
        raise ValueError(f'"{target}" is {_a(factory)}, which cannot be called')  # noqa: TRY004  # of the configuration
    try:
        app = factory()
    except (Exception, SystemExit) as error:
        raise ValueError(f'"{target}" failed: {told(error)}') from error
    if inspect.iscoroutine(app):
        app.close()
        raise ValueError(f'"{target}" is async: an application is made by a plain function')
    return check_app(app, f"{target}()")


def _module(name: str, directory: Path) -> Any:
    place = str(directory)
    if place not in sys.path:
        sys.path.append(place)  # last, so that no file of it hides a module of Python
    importlib.invalidate_caches()
    _check_place(name.partition(".")[0], directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = "set asgi_dir to the directory of the application, or install it"
            raise ValueError(
                f'no module "{error.name}" is installed or in {place}; {hint}'
            ) from None
        raise ValueError(f'importing "{name}" failed: {told(error)}') from error
    except (Exception, SystemExit) as error:
        raise ValueError(f'importing "{name}" failed: {told(error)}') from error


def _check_place(name: str, directory: Path) -> None:
    """Check that a module of the directory is not hidden by another one of the same name.

    :raises ValueError: it is; the wrong application would be served.
    """
    wanted = [directory / f"{name}.py", directory / name / "__init__.py"]
    if not any(one.is_file() for one in wanted):
        return
    loaded = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if loaded is None else loaded.__spec__
    found = spec.origin if spec is not None else None
    if found is None or Path(found).resolve() not in [one.resolve() for one in wanted]:
        hint = "rename the module" if loaded is None else "rename it, or restart pingap"
        raise ValueError(f'"{name}" is another module already, {found or "built in"}; {hint}')


def told(error: BaseException) -> str:
    """Return what failed, and in which line of the application."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and frame.filename not in _OWN
    ]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _missing(owner: object, name: str) -> str:
    what = f"module {owner.__name__}" if inspect.ismodule(owner) else _a(owner)
    near = get_close_matches(name, [one for one in dir(owner) if not one.startswith("_")], 1)
    return f"{what} has no {name}" + (f'; did you mean "{near[0]}"?' if near else "")


def _a(thing: object) -> str:
    return f"a {type(thing).__name__}"


def _arguments(app: Any) -> int:
    """Return how many arguments are needed; 3 if that is unknown."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return 3
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return 3
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is one.empty for one in parameters)


_OWN = frozenset((__file__, importlib.__file__))
