import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from pingap.config.positions import key_lines

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
top = 1
[servers.web] # trailing comment
addr = "0.0.0.0:80"
locations = [
  "a", # first
  # between
  "b", "c",
]
"quoted.key" = 'x'
inner.deep.key = true

[plugins."pingap:ping"]
text = """
[not.a.table]
key = "no"
""""
after = 1979-05-27T07:32:00Z
literal = \'\'\'
[neither]\'\'\'
point = { x = 1, "y z" = [ 2,
  3 ], nested = { deep = 1 } }
[[rows]]
a = 1
[[rows]]
a = 2
[rows.sub]
b = 3
[[rows.deeper]]
c = 4
  [ spaced . 'key' ]
  last = "\\"]#"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("servers",), 3),
        (("servers", "web"), 3),
        (("servers", "web", "addr"), 4),
        (("servers", "web", "locations"), 5),
        (("servers", "web", "locations", 0), 6),
        (("servers", "web", "locations", 1), 8),
        (("servers", "web", "locations", 2), 8),
        (("servers", "web", "quoted.key"), 10),
        (("servers", "web", "inner"), 11),
        (("servers", "web", "inner", "deep"), 11),
        (("servers", "web", "inner", "deep", "key"), 11),
        (("plugins",), 13),
        (("plugins", "pingap:ping"), 13),
        (("plugins", "pingap:ping", "text"), 14),
        (("plugins", "pingap:ping", "after"), 18),
        (("plugins", "pingap:ping", "literal"), 19),
        (("plugins", "pingap:ping", "point", "x"), 21),
        (("plugins", "pingap:ping", "point", "y z"), 21),
        (("plugins", "pingap:ping", "point", "y z", 0), 21),
        (("plugins", "pingap:ping", "point", "y z", 1), 22),
        (("plugins", "pingap:ping", "point", "nested", "deep"), 22),
        (("rows",), 23),
        (("rows", 0), 23),
        (("rows", 0, "a"), 24),
        (("rows", 1), 25),
        (("rows", 1, "a"), 26),
        (("rows", 1, "sub"), 27),
        (("rows", 1, "sub", "b"), 28),
        (("rows", 1, "deeper"), 29),
        (("rows", 1, "deeper", 0, "c"), 30),
        (("spaced", "key"), 31),
        (("spaced", "key", "last"), 32),
    ],
)
def test_every_key_has_its_line(path, line):
    assert key_lines(DOCUMENT)[path] == line


def paths_in(value, path=()):
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_in(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_in(inner, (*path, index))


def test_exactly_the_keys_of_the_document_are_found():
    assert set(key_lines(DOCUMENT)) == set(paths_in(tomli.loads(DOCUMENT)))


def test_text_inside_strings_is_not_taken_for_keys():
    assert ("not",) not in key_lines(DOCUMENT)
    assert ("neither",) not in key_lines(DOCUMENT)


def test_windows_line_ends_count_once():
    assert key_lines('[a]\r\nx = 1\r\ny = """\r\n"""\r\nz = 2\r\n') == {
        ("a",): 1,
        ("a", "x"): 2,
        ("a", "y"): 3,
        ("a", "z"): 5,
    }


def test_a_header_counts_more_than_a_key_that_came_before_it():
    assert key_lines("[a.b.c]\n[a]\n[a.b]\n")[("a", "b")] == 3


@given(st.text(alphabet="[]{}=.,\"'#\\\nab 1", max_size=40))
def test_any_text_is_scanned_and_valid_text_completely(text):
    found = key_lines(text)
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    assert set(found) == set(paths_in(document))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
