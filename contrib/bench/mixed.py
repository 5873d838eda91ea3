"""Requests as in real traffic: no two are alike.

Paths, queries, cookies and trace ids differ, and each request has the headers of one of several
browsers and programs. As a Lua script they are for wrk; in Python, for HTTP/2 and ``data_path.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

HOST: Final = "shop.example.com"
AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5; rv:141.0) Gecko/20100101 Firefox/141.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
)
ACCEPTS: Final = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "application/json",
    "*/*",
    "image/avif,image/webp,*/*",
)
LANGUAGES: Final = ("en-GB,en;q=0.9", "de-DE,de;q=0.8,en;q=0.5", "zh-CN,zh;q=0.9", "fr")
CODINGS: Final = "gzip, deflate, br, zstd"

# wrk calls ``request`` for every request. The bodies differ in their first bytes only: making a
# megabyte of random bytes for each would leave wrk no time to send them.
_LUA: Final = """
local agents, accepts, languages = {agents}, {accepts}, {languages}
local filler = string.rep("x", {body} - 32)
local random, format = math.random, string.format
local function hex(words)
  local made = {{}}
  for i = 1, words do made[i] = format("%08x", random(0, 0x7fffffff)) end
  return table.concat(made)
end
function init() math.randomseed(os.time()) end
function request()
  local head = " /{folder}/" .. hex(1) .. "/items/" .. random(1, 10000000)
    .. "?page=" .. random(1, 500) .. "&q=" .. hex(1) .. " HTTP/1.1\\r\\nHost: {host}"
    .. "\\r\\nUser-Agent: " .. agents[random(#agents)]
    .. "\\r\\nAccept: " .. accepts[random(#accepts)]
    .. "\\r\\nAccept-Language: " .. languages[random(#languages)]
    .. "\\r\\nAccept-Encoding: {codings}"
    .. "\\r\\nCookie: session=" .. hex(4) .. "; theme=dark; visits=" .. random(1, 9999)
    .. "\\r\\ntraceparent: 00-" .. hex(4) .. "-" .. hex(2) .. "-01\\r\\n"
  if {body} == 0 then return "GET" .. head .. "\\r\\n" end
  return "POST" .. head .. "Content-Type: application/octet-stream\\r\\nContent-Length: {body}\\r\\n\\r\\n"
    .. hex(4) .. filler
end
"""


class Request(NamedTuple):
    """The varying parts of a request.

    :param cookies: pairs, as ``name=value``.
    """

    target: str
    agent: str
    accept: str
    language: str
    cookies: tuple[str, ...]
    trace: str

    @property
    def head(self) -> str:
        """The head of a GET by HTTP/1.1."""
        return (
            f"GET {self.target} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {self.agent}\r\n"
            f"Accept: {self.accept}\r\nAccept-Language: {self.language}\r\n"
            f"Accept-Encoding: {CODINGS}\r\nCookie: {'; '.join(self.cookies)}\r\n"
            f"traceparent: {self.trace}\r\n\r\n"
        )


def request(random: Random) -> Request:
    """Return a unique request; the same seed gives the same sequence."""

    def hexadecimal(words: int) -> str:
        return f"{random.getrandbits(32 * words):0{8 * words}x}"

    item, page, visits = random.randint(1, 10**7), random.randint(1, 500), random.randint(1, 9999)
    return Request(
        f"/mixed/{hexadecimal(1)}/items/{item}?page={page}&q={hexadecimal(1)}",
        random.choice(AGENTS),
        random.choice(ACCEPTS),
        random.choice(LANGUAGES),
        (f"session={hexadecimal(4)}", "theme=dark", f"visits={visits}"),
        f"00-{hexadecimal(4)}-{hexadecimal(2)}-01",
    )


def lua(body: int = 0) -> str:
    """Return the script for wrk: GET, or POST with bodies of this many bytes (at least 32)."""
    return _LUA.format(
        agents=_table(AGENTS),
        accepts=_table(ACCEPTS),
        languages=_table(LANGUAGES),
        codings=CODINGS,
        host=HOST,
        body=body,
        folder="post" if body else "mixed",
    )


def _table(values: Sequence[str]) -> str:
    return "{" + ", ".join(json.dumps(one) for one in values) + "}"
