"""The docstrings below the fields of a settings model, read when a JSON Schema needs them.

pydantic can do it too (``use_attribute_docstrings``), but for every class that is imported: parsing the source of
all plugins in use took a tenth of the start.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def field_docstrings(cls: type) -> dict[str, str]:
    """Return the docstring of each annotated attribute, of the class and its bases, that has one.

    A class without source, such as one of an interactive session, has none.
    """
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__[:-1]):
        if one.__module__.partition(".")[0] != "pydantic":
            found |= _of_class(one)
    return found


def _of_class(cls: type) -> dict[str, str]:
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):
        return {}
    definition = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
