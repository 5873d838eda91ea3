"""Orders at a real authority: what may differ, what fails, and what a restart finds again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pebble import Pebble, free_port, pebble
from pingap_acme import source
from pingap_acme.authority import Authority
from pingap_acme.order import Begun, new_key
from pingap_acme.shelf import Shelf
from support.waiting import until

from pingap.testing import ConfigError, PluginStartError, Proxy, Upstream

Start = Callable[..., Proxy]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with pebble(tmp_path_factory.mktemp("pebble")) as found:
        yield found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "acme")


@pytest.fixture
def start(shelf: Shelf, upstream: Upstream) -> Iterator[Start]:
    """Start proxies that order from an authority; they share a directory."""
    proxies: list[Proxy] = []

    def begin(authority: Pebble, domains: str, **keys: Any) -> Proxy:
        proxy = Proxy(upstream=upstream)
        proxies.append(proxy)
        table = {
            "domains": domains,
            "acme": authority.url,
            "acme_ca_file": str(authority.ca_file),
            "acme_challenges": ["http-01"],
            "acme_http_port": authority.http_port,
            "acme_storage": str(shelf.directory),
            **keys,
        }
        proxy.configure("certificates.site", **table)
        return proxy.start()

    yield begin
    for proxy in proxies:
        proxy.stop()
        proxy.check()


def certificate(shelf: Shelf) -> x509.Certificate:
    pair = shelf.pair("site")
    assert pair is not None
    return x509.load_pem_x509_certificate(pair.chain)


def ordered(start: Start, authority: Pebble, domains: str, **keys: Any) -> Proxy:
    proxy = start(authority, domains, **keys)
    proxy.wait_for_log("serving a certificate for")
    return proxy


def names(shelf: Shelf) -> set[str]:
    found = certificate(shelf).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(one.value) for one in found.value}


# What may differ.


@pytest.mark.parametrize(("key_type", "size"), [("p384", 384), ("rsa2048", 2048)])
def test_kinds_of_keys(
    start: Start, authority: Pebble, shelf: Shelf, key_type: str, size: int
) -> None:
    ordered(start, authority, f"{key_type}.example.com", acme_key_type=key_type)
    key = certificate(shelf).public_key()
    assert isinstance(key, rsa.RSAPublicKey if key_type == "rsa2048" else ec.EllipticCurvePublicKey)
    assert key.key_size == size


def test_an_international_name(start: Start, authority: Pebble, shelf: Shelf) -> None:
    ordered(start, authority, "BÜCHER.example.com")
    assert names(shelf) == {"xn--bcher-kva.example.com"}


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_an_address(authority: Pebble, shelf: Shelf, upstream: Upstream, challenge: str) -> None:
    proxy = Proxy(upstream=upstream)
    proxy.configure(
        "servers.secure", addr=f"127.0.0.1:{authority.tls_port}", global_certificates=True
    )
    proxy.configure(
        "certificates.site",
        domains="127.0.0.1",
        acme=authority.url,
        acme_ca_file=str(authority.ca_file),
        acme_http_port=authority.http_port,
        acme_storage=str(shelf.directory),
        acme_challenges=[challenge],
    )
    with proxy:
        proxy.wait_for_log("serving a certificate for 127.0.0.1")
    assert names(shelf) == {"127.0.0.1"}


def test_fifty_names(start: Start, authority: Pebble, shelf: Shelf) -> None:
    wanted = {f"n{number}.many.example.com" for number in range(50)}
    ordered(start, authority, ",".join(wanted))
    assert names(shelf) == wanted


# What is ordered again.


def test_other_names_are_ordered_once_and_other_spellings_never(
    start: Start, authority: Pebble, shelf: Shelf
) -> None:
    ordered(start, authority, "a.example.com").stop()
    first = certificate(shelf).serial_number
    start(authority, " A.example.com , a.example.com.").stop()
    assert certificate(shelf).serial_number == first
    proxy = start(authority, "a.example.com, b.example.com")
    log = proxy.wait_for_log("serving a certificate for a.example.com, b.example.com")
    assert "ordering, because the certificate is for a.example.com" in log
    second = certificate(shelf).serial_number
    assert second != first
    proxy.stop()
    again = start(authority, "b.example.com,a.example.com")
    again.settle()
    assert "ordering" not in again.log
    assert certificate(shelf).serial_number == second


def test_an_operator_can_ask_for_it(
    start: Start, authority: Pebble, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "WISH_SECONDS", 0.02)
    proxy = ordered(start, authority, "a.example.com")
    first = certificate(shelf).serial_number
    shelf.wish("site")
    proxy.wait_for_log("ordering, because somebody asks for it")
    until(lambda: certificate(shelf).serial_number != first)
    assert not shelf.is_wished("site")


# What fails.


def test_a_name_that_cannot_be_verified(start: Start, authority: Pebble, shelf: Shelf) -> None:
    wrong = free_port()
    proxy = start(authority, "closed.example.com", acme_http_port=wrong)
    log = proxy.wait_for_log("no certificate for closed.example.com; the next try is in 1 min")
    assert "closed.example.com (http-01): the authority could not reach this host" in log
    state = shelf.state("site", ("closed.example.com",))
    assert state.failures == 1
    assert "could not reach this host" in state.error
    proxy.stop()
    again = start(authority, "closed.example.com", acme_http_port=wrong)
    again.settle()
    assert "ordering" not in again.log
    assert shelf.state("site", ("closed.example.com",)) == state
    again.stop()
    ordered(start, authority, "open.example.com")  # other names do not wait


def test_the_next_authority_is_asked(start: Start, authority: Pebble, shelf: Shelf) -> None:
    away = f"https://127.0.0.1:{free_port()}/dir"
    ordered(start, authority, "second.example.com", acme=f"{away}, {authority.url}")
    assert shelf.state("site", ("second.example.com",)).authority == authority.url


def test_an_authority_that_is_not_trusted(start: Start, authority: Pebble) -> None:
    proxy = start(authority, "a.example.com", acme_ca_file="")
    proxy.wait_for_log("the certificate of the authority is not trusted")


def test_a_directory_that_cannot_be_used(start: Start, authority: Pebble, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"certificates\.site.*Not a directory"):
        start(authority, "a.example.com", acme_storage=str(tmp_path / "file" / "acme"))


def test_an_authority_that_has_forgotten_the_account(
    start: Start, authority: Pebble, shelf: Shelf
) -> None:
    ordered(start, authority, "a.example.com").stop()
    [file] = (shelf.directory / "accounts").iterdir()
    account = json.loads(file.read_text())
    file.write_text(json.dumps({**account, "url": account["url"] + "0000"}))
    proxy = start(authority, "b.example.com")
    assert "another one is registered" in proxy.wait_for_log("serving a certificate for b.")


def test_external_account_binding(
    start: Start, shelf: Shelf, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    with pebble(
        tmp_path_factory.mktemp("eab"),
        externalAccountBindingRequired=True,
        externalAccountMACKeys={"kid-1": key},
    ) as bound:
        proxy = start(bound, "a.example.com")
        proxy.wait_for_log("the authority needs acme_eab_kid and acme_eab_hmac")
        proxy.stop()
        wrong = start(bound, "b.example.com", acme_eab_kid="kid-1", acme_eab_hmac=key[::-1])
        assert key[::-1] not in wrong.wait_for_log("no certificate for b.example.com")
        wrong.stop()
        ordered(start, bound, "c.example.com", acme_eab_kid="kid-1", acme_eab_hmac=key)


# What a restart finds.


def test_an_order_that_a_restart_interrupts_is_continued(
    start: Start, authority: Pebble, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Authority, "answer", _dies)
    monkeypatch.setattr(Shelf, "keep_begun", _keeps_begun(Shelf.keep_begun))
    proxy = start(authority, "half.example.com")
    proxy.expect_error("killed")
    proxy.wait_for_log("no certificate for half.example.com")
    proxy.stop()
    monkeypatch.undo()
    begun = shelf.begun("site")
    assert begun is not None
    assert begun.authority == authority.url
    state = shelf.directory / "orders" / "site.state"
    state.unlink()
    ordered(start, authority, "half.example.com")
    pair = shelf.pair("site")
    assert pair is not None
    assert pair.key == begun.key.encode()
    assert shelf.begun("site") is None


def _dies(*_: object) -> None:
    raise RuntimeError("killed")


def _keeps_begun(keep: Callable[..., None]) -> Callable[..., None]:
    return lambda *arguments: keep(*arguments) if arguments[-1] is not None else None


def test_an_order_that_has_expired_is_begun_again(
    start: Start, authority: Pebble, shelf: Shelf
) -> None:
    url = authority.url.replace("/dir", "/my-order/none")
    old = Begun(url, new_key("p256").decode(), ("a.example.com",), authority.url)
    shelf.keep_begun("site", old)
    ordered(start, authority, "a.example.com")
    pair = shelf.pair("site")
    assert pair is not None
    assert pair.key != old.key.encode()


# Several machines, and servers that are there already.


def test_another_machine_answers(
    authority: Pebble, shelf: Shelf, start: Start, upstream: Upstream
) -> None:
    other = Proxy(upstream=upstream)
    other.configure(
        "certificates.site",
        domains="shared.example.com",
        acme=authority.url,
        acme_ca_file=str(authority.ca_file),
        acme_challenges=["http-01"],
        acme_http_port=authority.http_port,
        acme_storage=str(shelf.directory),
    )
    other.follow()
    with other:
        # This one answers at another port, so that the authority meets only the other machine.
        ordered(start, authority, "shared.example.com", acme_http_port=free_port())
        assert list((shelf.directory / "tokens").iterdir()) == []
        other.lead()
        log = other.wait_for_log("serving a certificate for shared.example.com")
        assert "ordering" not in log


def test_a_server_that_is_there_answers(
    authority: Pebble, shelf: Shelf, upstream: Upstream
) -> None:
    proxy = Proxy(upstream=upstream)
    upstream.reply("/.well-known/acme-challenge/of-the-site", b"its own")
    proxy.location("/")
    proxy.configure("servers.web", addr=f"127.0.0.1:{free_port()}, 127.0.0.1:{authority.http_port}")
    proxy.configure(
        "certificates.site",
        domains="there.example.com",
        acme=authority.url,
        acme_ca_file=str(authority.ca_file),
        acme_http_port=authority.http_port,
        acme_storage=str(shelf.directory),
    )
    with proxy:
        proxy.wait_for_log("serving a certificate for there.example.com")
        assert proxy.get("/.well-known/acme-challenge/of-the-site").body == b"its own"


# Mistakes.


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"acme": "lets_encript"}, 'did you mean "lets_encrypt"?'),
        ({"acme": ""}, "tls_cert: is missing"),
        ({"acme": "", "acme_key_type": "p384"}, "acme is missing"),
        ({"acme_eab_kid": "kid-1"}, "acme_eab_kid and acme_eab_hmac belong together"),
        ({"acme_challenges": []}, "acme_challenges is empty"),
        ({"acme_challenges": ["dns-01"]}, "acme_challenges"),
        ({"acme_storage": "acme"}, '"acme" is not an absolute path'),
        ({"acme_contact": "me"}, '"me" is not an e-mail address'),
        ({"acme_key_type": "p521"}, "acme_key_type"),
        ({"acme_http_port": 0}, "acme_http_port"),
        ({"domains": ""}, "domains is missing"),
        ({"domains": "localhost"}, '"localhost" is not a name that an authority can verify'),
        ({"domains": "*.example.com"}, "a wildcard needs dns_challenge = true"),
        ({"dns_challenge": True, "dns_resolvers": ["ns1"]}, '"ns1" is no address of a server'),
        ({"dns_challenge": True, "dns_provider": "cf"}, "the parameter token is missing"),
        (
            {"dns_challenge": True, "dns_provider": "cf", "dns_service_url": "http://a/?token=t0p"},
            "credentials must not be sent unencrypted",
        ),
        ({"dns_challenge": True, "dns_provider": "cloudflair"}, 'did you mean "cloudflare"?'),
    ],
)
def test_mistakes(keys: dict[str, Any], message: str, upstream: Upstream) -> None:
    proxy = Proxy(upstream=upstream)
    table: dict[str, Any] = {"domains": "a.example.com", "acme": "lets_encrypt", **keys}
    proxy.configure("certificates.site", **table)
    with pytest.raises((ConfigError, PluginStartError), match=r"certificates\.site") as error:
        proxy.start()
    assert message in str(error.value)
    assert "t0p" not in str(error.value)
