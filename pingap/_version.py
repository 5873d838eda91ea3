"""The version of the distribution, read by the build and by ``pingap -V``."""

__version__ = "0.1.0"
