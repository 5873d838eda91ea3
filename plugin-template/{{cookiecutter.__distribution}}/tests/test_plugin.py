"""The plugin, as a client, an upstream and an operator see it."""

from __future__ import annotations

{% if cookiecutter.async %}
import time
{% endif %}
{% if cookiecutter.__reads %}
from hashlib import sha256
{% endif %}
{% if cookiecutter.async or cookiecutter.__reads %}

{% endif %}
{% if cookiecutter.async %}
import anyio
{% endif %}
{% if cookiecutter.__reads or cookiecutter.__rewrites %}
{% if cookiecutter.__websocket %}
from pingap import BodyFilter, Headers, WebSocketMessage
{% else %}
from pingap import BodyFilter, Headers
{% endif %}
{% else %}
{% if cookiecutter.__websocket %}
from pingap import WebSocketMessage
{% endif %}
{% endif %}
from pingap.testing import (
    Proxy,
{% if cookiecutter.__early_request or cookiecutter.__request or cookiecutter.__proxy_upstream or cookiecutter.__request_body or cookiecutter.__upstream_response or cookiecutter.__upstream_response_body or cookiecutter.__response_body %}
    Upstream,
{% endif %}
    configuration_problems,
{% if cookiecutter.__reads or cookiecutter.__rewrites %}
    filter_every_cut,
{% endif %}
)

{% if cookiecutter.__websocket %}
from {{ cookiecutter.__package }} import plugin
{% endif %}
from {{ cookiecutter.__package }}.plugin import {{ cookiecutter.__class }}


def test_it_is_found_by_its_category(proxy: Proxy) -> None:
    proxy.location(plugins=[("{{ cookiecutter.name }}", {})])
    assert proxy.get("/some/page").status == 200


def test_an_unknown_setting_is_told() -> None:
    toml = '[plugins.x]\ncategory = "{{ cookiecutter.name }}"\ntexts = "good day"\n'
    (problem,) = configuration_problems(toml, categories=[{{ cookiecutter.__class }}])
    assert problem.startswith("pingap.toml:3: plugins.x.texts: unknown key")
{% if cookiecutter.__proxy_upstream or cookiecutter.__response %}


def test_a_text_that_no_header_can_hold_is_told() -> None:
    toml = '[plugins.x]\ncategory = "{{ cookiecutter.name }}"\ntext = "two\\nlines"\n'
    (problem,) = configuration_problems(toml, categories=[{{ cookiecutter.__class }}])
    assert problem.startswith("pingap.toml:1: plugins.x: ")
{% endif %}
{% if cookiecutter.__early_request %}


def test_early_request_tells_who_asks(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[{{ cookiecutter.__class }}])
    proxy.get("/some/page", headers={"{{ cookiecutter.__header }}-Client": "forged"})
    told = upstream.received_once().headers.get_all("{{ cookiecutter.__header }}-Client")
    assert told == ["127.0.0.1"]
{% endif %}
{% if cookiecutter.__request %}
{% if cookiecutter.__whole %}


def test_request_answers_with_the_length_of_the_body(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"text": "good day"})])
    answer = proxy.request("POST", "{{ cookiecutter.__path }}", body=b"12345")
    assert (answer.status, answer.text) == (200, "good day: 5 bytes\n")
    assert upstream.requests == []


def test_the_body_goes_on_where_the_plugin_does_not_answer(proxy: Proxy) -> None:
    proxy.location(plugins=[{{ cookiecutter.__class }}])
    assert proxy.request("POST", "/some/page", body=b"12345").body == b"12345"


def test_a_body_that_is_too_large_is_refused(proxy: Proxy) -> None:
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"max_body": 4})])
    assert proxy.request("POST", "{{ cookiecutter.__path }}", body=b"12345").status == 413
{% else %}


def test_request_is_answered_on_the_path(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"text": "good day"})])
    answer = proxy.get("{{ cookiecutter.__path }}")
{% if cookiecutter.__rewrites %}
    assert (answer.status, answer.text.splitlines()[0]) == (200, "good day")
{% else %}
    assert (answer.status, answer.text) == (200, "good day\n")
{% endif %}
    assert upstream.requests == []


def test_other_requests_go_to_the_upstream(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[{{ cookiecutter.__class }}])
    proxy.get("/some/page")
    assert upstream.received_once().path == "/some/page"
{% endif %}
{% endif %}
{% if cookiecutter.__proxy_upstream %}


def test_proxy_upstream_tells_the_upstream(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"text": "good day"})])
    proxy.get("/some/page", headers={"{{ cookiecutter.__header }}": "forged"})
    told = upstream.received_once().headers.get_all("{{ cookiecutter.__header }}")
    assert told == ["good day"]
{% endif %}
{% if cookiecutter.__request_body %}


def test_request_body_is_filtered(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"text": "good day"})])
    plain = {"Content-Type": "text/plain"}
    proxy.request("POST", "/some/page", body=[b"one ", b"two\n"], headers=plain)
{% if cookiecutter.__reads %}
    assert upstream.received_once().body == b"one two\n"
    proxy.wait_for_log("good day: SHA-256 " + sha256(b"one two\n").hexdigest())
{% else %}
    assert upstream.received_once().body == b"one two\ngood day\n"
{% endif %}
{% endif %}
{% if cookiecutter.__upstream_response %}


def test_upstream_response_takes_out_a_header(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/some/page", headers={"X-Powered-By": "Software 1.0"})
    proxy.location(plugins=[{{ cookiecutter.__class }}])
    assert proxy.get("/some/page").headers.get("X-Powered-By") is None
{% endif %}
{% if cookiecutter.__upstream_response_body or cookiecutter.__response_body %}


def test_the_body_of_a_response_is_filtered(proxy: Proxy, upstream: Upstream) -> None:
    plain = {"Content-Type": "text/plain"}
    upstream.reply("/some/page", [b"one ", b"two\n"], headers=plain)
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"text": "good day"})])
{% if cookiecutter.__reads %}
    assert proxy.get("/some/page").body == b"one two\n"
    proxy.wait_for_log("good day: SHA-256 " + sha256(b"one two\n").hexdigest())
{% else %}
    assert proxy.get("/some/page").text.startswith("one two\ngood day\n")
{% endif %}
{% endif %}
{% if cookiecutter.__response %}


def test_response_tells_the_client(proxy: Proxy) -> None:
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"text": "good day"})])
    assert proxy.get("/some/page").headers["{{ cookiecutter.__header }}"] == "good day"
{% endif %}
{% if cookiecutter.__websocket %}


def test_text_messages_of_clients_get_the_text_in_front() -> None:
    messages = plugin.Prefix("good day")
    assert messages.from_client(WebSocketMessage("Tom")) == "good day: Tom"
    binary = WebSocketMessage(b"1")
    assert messages.from_client(binary) is binary
    assert messages.from_upstream(binary) is binary
{% endif %}
{% if cookiecutter.__logging %}


def test_logging_writes_a_line(proxy: Proxy) -> None:
    proxy.location(plugins=[({{ cookiecutter.__class }}, {"text": "good day"})])
    proxy.get("/some/page")
    proxy.wait_for_log("good day: /some/page, 200, ")
{% endif %}
{% if cookiecutter.async %}


def test_it_waits_as_long_as_it_is_told() -> None:
    settings = {{ cookiecutter.__class }}.Settings.model_validate({"delay": "50ms"})
    began = time.monotonic()
    anyio.run({{ cookiecutter.__class }}(settings).wait)
    assert time.monotonic() - began >= 0.05
{% endif %}
{% if cookiecutter.__reads or cookiecutter.__rewrites %}


def make_filter(**headers: str) -> BodyFilter | None:
    plugin = {{ cookiecutter.__class }}({{ cookiecutter.__class }}.Settings(text="good day"))
    return plugin.filter_for(Headers({"Content-Type": "text/plain", **headers}))


def test_it_does_not_matter_how_the_network_cuts_a_body() -> None:
    def present() -> BodyFilter:
        made = make_filter()
        assert made is not None
        return made

{% if cookiecutter.__reads %}
    assert filter_every_cut(present, b"one two\n") == b"one two\n"
{% else %}
    assert filter_every_cut(present, b"one two\n") == b"one two\ngood day\n"
{% endif %}


def test_a_compressed_body_is_left_alone() -> None:
    assert make_filter(**{"Content-Encoding": "gzip"}) is None
{% endif %}
