"""Texts without secrets: only the values of secrets are replaced."""

from __future__ import annotations

from pathlib import Path

from pingap.config.masked_text import masked_text

TEXT = """\
# The site; password = "p1"
[basic]
webhook = "https://user:p2@example.com/p3"   # where
[locations.all]
proxy_set_headers = [
  "Authorization: p4",
  "X-A: 1",
]
[plugins.a]
category = "x"
token = "p5"
nested = { api_key = "p6", b = [1, 2] }
[[plugins.a.users]]
name = "ann"
password = "p7"
[plugins]
b.secret = '''p8
p8'''
[storages]
s = { category = "x", value = "p9" }
"""


def test_only_secrets_are_replaced() -> None:
    shown = masked_text(TEXT, Path(), {})
    for number in range(1, 10):
        assert f"p{number}" not in shown
    assert "# The site; password = ***\n" in shown
    assert '"***"   # where\n' in shown
    assert 'name = "ann"\npassword = "***"\n' in shown
    assert '"X-A: 1"' in shown
    assert "b = [1, 2]" in shown
    assert shown.count("\n") <= TEXT.count("\n")


def test_a_text_without_secrets_stays() -> None:
    text = '# a\n[servers.web]\naddr  =  "127.0.0.1:80" # b\n\n[locations]\na.path = "/"\n'
    assert masked_text(text, Path(), {}) == text
