"""Let mkdocstrings show docstrings whose inline markup is that of Sphinx (see ``mkdocs.yml``)."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":[a-z]+:`~?([\w.]+)`")


class SphinxMarkup(Extension):
    """Rewrites roles, double backquotes and the double colon in front of examples."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object, as soon as it was read."""
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\1`", obj.docstring.value).replace("``", "`")
            obj.docstring.value = text.replace("::\n", ":\n")
