"""Kinds of settings in a plugin of a real configuration: file, line, and what they refer to."""

from __future__ import annotations

from pathlib import Path

from support.check import check
from support.plugins import write_distribution

SOURCE = """
class Kinds(Plugin):
    category = "kinds"

    class Settings(PluginSettings):
        token: Secret
        match: Regex | None = None
        allow: Networks = ()
        fallback: UpstreamName | None = None

    def __init__(self, settings):
        assert settings.token.get_secret_value() == "hush"

    @hookimpl
    def request(self): pass
"""
UPSTREAM = '[upstreams.media]\naddrs = ["127.0.0.1:9"]\n'


def test_what_settings_refer_to_is_found(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "kinds", SOURCE)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("hush\n")
    for token in ("hush", "$ENV:TOKEN", "file:secrets/token"):
        toml = f'[plugins.x]\ncategory = "kinds"\ntoken = "{token}"\nfallback = "media"\n'
        said = check(tmp_path, toml + UPSTREAM, {"TOKEN": "hush"})
        assert said == (0, "The configuration is valid.\n")


def test_mistakes_are_told_with_file_and_line(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "kinds", SOURCE)
    toml = (
        '[plugins.x]\ncategory = "kinds"\ntoken = "file:none"\nmatch = "("\n'
        'allow = [\n  "10.0.0.0/8",\n  "10.0.0.0/99",\n]\nfallback = "meda"\n'
    )
    code, said = check(tmp_path, toml + UPSTREAM)
    assert code == 2
    lines = said.splitlines()
    assert (
        lines[0]
        == 'p.toml:3: plugins.x.token: the secret file "none" cannot be read: No such file or directory'
    )
    assert lines[1].startswith('p.toml:4: plugins.x.match: "(" is not a regular expression')
    assert lines[2] == 'p.toml:7: plugins.x.allow[1]: "10.0.0.0/99" is not an IP address or network'
    assert (
        lines[3]
        == 'p.toml:9: plugins.x.fallback: no upstream block is named "meda"; did you mean "media"?'
    )
    assert len(lines) == 5
