import pytest

from pingap.config import Backend, TcpAddress, UnixAddress, parse_backend, parse_listen

LISTEN = 'expected an address such as "0.0.0.0:80", "[::]:80" or "unix:/run/pingap.sock"'
BACKEND = (
    'expected an address such as "10.0.0.1:8080", "[fd00::1]:8080 2" (a weight)'
    ', "10.0.0.9:8080 1 backup" or "unix:/run/app.sock"'
)
WEIGHT = "expected a whole number from 0 to 65535"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("0.0.0.0:80", (TcpAddress("0.0.0.0", 80),)),
        ("localhost:0", (TcpAddress("localhost", 0),)),
        ("[::1]:443", (TcpAddress("::1", 443),)),
        ("unix:/run/x.sock", (UnixAddress("/run/x.sock"),)),
        ("a:1, b:2 ,[::]:3", (TcpAddress("a", 1), TcpAddress("b", 2), TcpAddress("::", 3))),
    ],
)
def test_listening_addresses_are_split_and_trimmed(text, addresses):
    assert parse_listen(text) == addresses


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", ""),
        ("a:1,", ""),
        ("80", "80"),
        (":80", ":80"),
        ("*:80", "*:80"),
        ("a:65536", "a:65536"),
        ("a:-1", "a:-1"),
        ("a:", "a:"),
        ("http://a:80", "http://a:80"),
        ("[::1]", "[::1]"),
        ("[::1:80", "[::1:80"),
        ("[a]:80", "[a]:80"),
        ("[::1]x:80", "[::1]x:80"),
        ("unix:run", "unix:run"),
    ],
)
def test_a_malformed_listening_address_is_shown(text, wrong):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_listen(text)
    assert str(caught.value) == f'found "{wrong}", {LISTEN}'


def test_ipv6_without_brackets_is_told_how_to_write_it():
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_listen("fd00::1:80")
    assert str(caught.value) == 'found "fd00::1:80", expected brackets: write "[fd00::1:80]"'


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ("10.0.0.1:8080", Backend(TcpAddress("10.0.0.1", 8080), 1)),
        ("10.0.0.1", Backend(TcpAddress("10.0.0.1", 80), 1)),
        ("app.internal:81 3", Backend(TcpAddress("app.internal", 81), 3)),
        ("app_1  5", Backend(TcpAddress("app_1", 80), 5)),
        ("[fd00::1]:8080 2", Backend(TcpAddress("fd00::1", 8080), 2)),
        ("[fd00::1]", Backend(TcpAddress("fd00::1", 80), 1)),
        ("unix:/run/app.sock 4", Backend(UnixAddress("/run/app.sock"), 4)),
        ("a:80 0", Backend(TcpAddress("a", 80), 0)),
        ("a:80 65535", Backend(TcpAddress("a", 80), 65535)),
        ("a:80 2 backup", Backend(TcpAddress("a", 80), 2, backup=True)),
        ("a:80 backup", Backend(TcpAddress("a", 80), 1, backup=True)),
        ("unix:/run/b.sock  backup", Backend(UnixAddress("/run/b.sock"), 1, backup=True)),
        ("backup", Backend(TcpAddress("backup", 80), 1)),
        ("backup backup", Backend(TcpAddress("backup", 80), 1, backup=True)),
    ],
)
def test_backends_have_an_address_and_a_weight(text, backend):
    assert parse_backend(text) == backend


def test_the_default_port_can_be_another():
    assert parse_backend("a", 443) == Backend(TcpAddress("a", 443))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f'found "", {BACKEND}'),
        ("a:80 1 2", f'found "a:80 1 2", {BACKEND}'),
        ("a:80 backup 1", f'found "a:80 backup 1", {BACKEND}'),
        ("a:80 1 backup backup", f'found "a:80 1 backup backup", {BACKEND}'),
        ("a:80 bakcup", f'found the weight "bakcup", {WEIGHT}; did you mean "backup"?'),
        ("file:///x", f'found "file:///x", {BACKEND}'),
        ("a:0", 'found "a:0", expected a port from 1 to 65535'),
        ("a:80 -1", f'found the weight "-1", {WEIGHT}'),
        ("a:80 x", f'found the weight "x", {WEIGHT}'),
        ("a:80 ²", f'found the weight "²", {WEIGHT}'),
        ("a:80 65536", f'found the weight "65536", {WEIGHT}'),
    ],
)
def test_a_malformed_backend_is_told_what_was_expected(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_backend(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (TcpAddress("a", 80), "a:80"),
        (TcpAddress("::1", 80), "[::1]:80"),
        (UnixAddress("/run/x"), "unix:/run/x"),
    ],
)
def test_an_address_is_written_as_it_is_read(address, text):
    assert str(address) == text
    assert parse_listen(text) == (address,)


def test_the_ip_of_an_address_is_none_for_a_name():
    assert str(TcpAddress("::1", 80).ip) == "::1"
    assert TcpAddress("localhost", 80).ip is None
