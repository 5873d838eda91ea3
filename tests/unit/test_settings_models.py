"""Which models know the settings of configured plugins."""

from pingap import Plugin, PluginSettings
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import Secret, parse
from pingap.config.changes import changes_between, changes_text
from pingap.plugins.settings_models import settings_models

GUARD = '[plugins.guard]\ncategory = "guard"\n'


class Guard(Plugin):
    category = "guard"

    class Settings(PluginSettings):
        opener: Secret
        """Who may pass."""

        key: str = ""
        """No secret, although it sounds like one."""


def test_what_a_plugin_declares_as_a_secret_is_not_told():
    registry = installed_registry([])
    registry.offer(Guard)
    runtimes = [
        build(parse(GUARD + keys), registry)
        for keys in ('opener = "S1"\nkey = "a"', 'opener = "S2"\nkey = "b"')
    ]
    old, new = runtimes
    models = settings_models(old.plugins, new.plugins)
    assert models == {"guard": {Guard.Settings}}
    assert changes_text(changes_between(old.config, new.config, models)).split("\n") == [
        "[MODIFIED] plugin:guard",
        '- key = "a"',
        '+ key = "b"',
        '- opener = "***"',
        '+ opener = "***"  # changed',
    ]
    for runtime in runtimes:
        runtime.log_files.close()
