"""{{ cookiecutter.__description }}: a plugin of pingap."""
