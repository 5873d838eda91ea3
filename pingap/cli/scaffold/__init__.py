"""A new plugin distribution from ``plugin-template``, which is also a template of cookiecutter.

``choices`` checks what was asked for, for ``pingap new-plugin`` and for cookiecutter alike; ``render``
writes the files without cookiecutter. Both ways give the same files: ``tests/template`` compares.
"""
