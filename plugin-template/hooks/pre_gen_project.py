"""Refuse answers that do not fit, before a file is written."""

import json
import sys

try:
    from pingap.cli.scaffold.choices import problems
except ImportError:
    sys.exit(
        "pingap is asked whether the answers fit: install it beside cookiecutter, "
        "or use `pingap new-plugin`, which does not need cookiecutter"
    )

if found := problems(json.loads(r"""{{ cookiecutter | tojson }}""")):
    sys.exit("\n".join(found))
