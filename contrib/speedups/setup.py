"""The extension; everything else is in ``pyproject.toml``."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("pingap_speedups._readers", ["pingap_speedups/_readers.pyx"])])
