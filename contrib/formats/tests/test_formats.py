"""HCL and KDL: the same configuration as in TOML, round trips, errors with their lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from pingap_formats.hcl_writer import write_hcl
from pingap_formats.hooks import HCL, KDL
from pingap_formats.kdl_writer import write_kdl

from pingap import FormatError
from pingap.build.loading import load_configuration, read_configuration
from pingap.build.registry import installed_registry
from pingap.config import ConfigError

TOML = """
[servers.edge]
addr = "0.0.0.0:8080"
locations = ["shop"]
[locations.shop]
host = "shop.example.test"
upstream = "shopPool"
plugins = ["limit", "pingap:ping"]
[upstreams.shopPool]
addrs = ["10.1.0.4:9000", "10.1.0.5:9000 3"]
[plugins.limit]
category = "limit"
max = 10
[basic]
log_level = "info"
[certificates.c]
domains = "a.test"
"""
HCL_TEXT = """
server "edge" {
  addr = "0.0.0.0:8080" // a comment
  location "shop" {
    host = "shop.example.test"
    upstream "shopPool" {
      addrs = ["10.1.0.4:9000", "10.1.0.5:9000 3"]
    }
    plugins = [] # and the one below
    plugin limit { category = "limit", }
  }
  certificate "c" { domains = "a.test" }
}
/* on
several lines */
basic { log_level = "info" }
""".replace('"limit", }', '"limit"\n max = 10 }').replace("plugins = [] #", "plugins = [\n] #")
KDL_TEXT = """
server "edge" {
    addr "0.0.0.0:8080" // a comment
    location "shop" host="shop.example.test" {
        upstream "shopPool" {
            addrs "10.1.0.4:9000" \\
                  "10.1.0.5:9000 3"
        }
        plugin "limit" category="limit" max=10
        plugins "pingap:ping"
        /- plugin "not" category="there" { x 1; }
    }
    certificates "c" { domains "a.test"; /* one */ }
}
/- server "none" { addr "x" }
basic { log_level "info"; }
"""


def test_hcl_is_the_same_as_toml() -> None:
    expected = tomli.loads(TOML)
    expected["locations"]["shop"]["plugins"] = ["limit"]
    assert HCL.parse(HCL_TEXT) == expected


def test_kdl_is_the_same_as_toml() -> None:
    expected = tomli.loads(TOML)
    expected["locations"]["shop"]["plugins"] = ["pingap:ping", "limit"]
    assert KDL.parse(KDL_TEXT) == expected


def test_an_upstream_that_is_only_named_is_a_reference() -> None:
    text = 'location a { upstream "u" }\nlocation "b" upstream="v"'
    assert KDL.parse(text)["locations"] == {"a": {"upstream": "u"}, "b": {"upstream": "v"}}
    first = 'location "a" {\n upstream "u" {}\n upstream "v" {}\n}'
    assert HCL.parse(first)["locations"]["a"] == {"upstream": "u"}


def test_values_of_hcl() -> None:
    text = r"""
plugin "p" {
  text = "a\n\"\\ \u00e9 \U0001F600 $${x} %%{y} $5 100%"
  numbers = [1, -2, 1.5, 1e3, ]
  flags = [true, false, null]
  table = { a = 1, "b c" : { d = [] }
    e = "x" }
  long = <<EOT
first "line"
  second \n $${x}
EOT
  indented = <<-END
      a
        b

    END
}
"""
    assert HCL.parse(text)["plugins"]["p"] == {
        "text": 'a\n"\\ é 😀 ${x} %{y} $5 100%',
        "numbers": [1, -2, 1.5, 1000.0],
        "flags": [True, False, ""],
        "table": {"a": 1, "b c": {"d": []}, "e": "x"},
        "long": 'first "line"\n  second \\n ${x}\n',
        "indented": "a\n  b\n\n",
    }


def test_values_of_kdl() -> None:
    text = """
plugin "p" {
  none
  nil #null
  typed (u8)5
  one "a"
  two "a" "b"
  (array)single "a"
  (array)empty
  (table)nothing
  raw #"a\\b"#
  long \"\"\"
    x
    y
    \"\"\"
  headers { X-A "1"; X-B 2 }
  props a=1 b="c"
  (array)tables { - { a 1 }; - 5; (array)- 1 }
  addrs "a"
  addrs "b"
}
"""
    assert KDL.parse(text)["plugins"]["p"] == {
        "none": "",
        "nil": "",
        "typed": 5,
        "one": "a",
        "two": ["a", "b"],
        "single": ["a"],
        "empty": [],
        "nothing": {},
        "raw": "a\\b",
        "long": "x\ny",
        "headers": {"X-A": "1", "X-B": 2},
        "props": {"a": 1, "b": "c"},
        "tables": [{"a": 1}, 5, [1]],
        "addrs": ["a", "b"],
    }


def test_kdl_1_is_read_as_well() -> None:
    text = 'plugin "p" {\n flag true\n raw r#"a"b"#\n none null\n}'
    assert KDL.parse(text)["plugins"]["p"] == {"flag": True, "raw": 'a"b', "none": ""}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('server "a" {\n  addr = x\n}', 2, "found x, expected a value; expressions are not"),
        ('server "a" {\n  addr = "${x}"\n}', 2, "write $${ for ${"),
        ('server "a" {\n  x = <<E\na\n${b}\nE\n}', 4, "write $${ for ${"),
        ('server "a" {\n  addr = "b\n}', 2, "a string has no end in its line"),
        ('server "a" {\n  addr = 1 2\n}', 2, "found '2', expected the end of the line"),
        ('server "a" {\n\n', 1, "the block server has no end"),
        ('server "a" {\n x = [1\n', 3, "found the end of the text, expected , or ]"),
        ('server "a" {\n x = <<EOT\n', 2, "<<EOT has no end"),
        ('server "a" {\n x = 1\n x = 2\n}', 3, "x is set here and in line 2"),
        ('server "a" {\n x = { a = 1, a = 2 }\n}', 2, "a is set twice"),
        ('server "a" {\n x = "\\q"\n}', 2, "expected an escape such as"),
        ('server "a" {\n x = "\\ud800"\n}', 2, "\\ud800 is no character"),
        ("}", 1, "found } without a block"),
        ("\naddr = 1", 2, "addr is in no block, as in basic { addr = ... }"),
        ('\nservr "a" {}', 2, "unknown block servr; did you mean server?"),
        ("server {}", 1, 'expected one name, as in server "name"'),
        ('server "a" "b" {}', 1, "expected one name"),
        ('basic "a" {}', 1, "the block basic has no name"),
        (
            'server "a" {\n upstream "u" {}\n}',
            2,
            "cannot be inside of servers: expected location or",
        ),
        ('plugin "a" {\n x {}\n}', 2, "the block x cannot be inside of plugins: it contains no"),
        ('server "a" {}\nserver "a" {}', 2, 'server "a" is defined here and in line 1'),
        ('server "a" {\n location "l" {}\n location "l" {}\n}', 3, "is defined here and in line 2"),
        ("basic {}\nbasic {}", 2, "basic is defined here and in line 1"),
        ("x = " + "[" * 99, 1, "nested too deeply"),
        ("a {\n" * 99, 33, "nested too deeply"),
        ('p "a" {\n x = 1' + "0" * 5000 + "\n}", 2, "a number is too long"),
    ],
)
def test_mistakes_in_hcl(text: str, line: int, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        HCL.parse(text)
    assert said in caught.value.message
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('server "a" {\n  addr "b\n}', 2, "a string has no end"),
        ('server "a" {\n  addr "b"\n\n', 1, "a block has no end"),
        ('server "a" {\n}\n\nserver "b" {\n x )\n y 1\n}', 5, "in the node that begins here"),
        ('server "a" {\n}\n}\n', 1, "unexpected '}' in the node that begins here"),
        ("/* a\n/* b */\n", 1, "a comment has no end"),
        ('server "a" {\n x 1\n x 2\n}', 3, "x is set here and in line 2"),
        ('server "a" {\n (array)x { y 1; }\n}', 2, "found y in an array, expected -"),
        ('plugin "a" {\n x 1 {\n y 2\n }\n}', 3, "a table has no values"),
        ('\nservr "a"', 2, "unknown block servr; did you mean server?"),
        ('server "a"\nserver "a"', 2, 'server "a" is defined here and in line 1'),
        ('server "a" {\n upstream "u" {\n addrs "x"\n }\n}', 2, "cannot be inside of servers"),
    ],
)
def test_mistakes_in_kdl(text: str, line: int, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        KDL.parse(text)
    assert said in caught.value.message
    assert caught.value.line == line


def test_each_key_has_its_line() -> None:
    lines = HCL.key_lines(
        '\nserver "a" {\n  x = [\n    1,\n    2]\n  location "l" {\n    path = { b = 1 }\n  }\n}'
    )
    assert lines == {
        ("servers",): 2,
        ("servers", "a"): 2,
        ("servers", "a", "x"): 3,
        ("servers", "a", "x", 0): 4,
        ("servers", "a", "x", 1): 5,
        ("servers", "a", "locations"): 6,
        ("servers", "a", "locations", 0): 6,
        ("locations",): 6,
        ("locations", "l"): 6,
        ("locations", "l", "path"): 7,
        ("locations", "l", "path", "b"): 7,
    }
    lines = KDL.key_lines('\nserver "a" b=1 {\n  x 1\n  location "l" {\n    h { k 1; }\n  }\n}')
    assert lines[("servers", "a", "x")] == 3
    assert lines[("servers", "a", "b")] == 2
    assert lines[("locations", "l", "h", "k")] == 5


def test_problems_of_the_configuration_have_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text('server "a" {\n  adr = ":1"\n}\n')
    (tmp_path / "b.kdl").write_text('location "l" {\n  upstream "nobody"\n}\n')
    (tmp_path / "c.toml").write_text("[basic]\n")
    registry = installed_registry()
    with pytest.raises(ConfigError) as caught:
        load_configuration(read_configuration([str(tmp_path)], registry), registry)
    text = str(caught.value)
    assert 'a.hcl:2: servers.a.adr: unknown key; did you mean "addr"?' in text
    assert 'b.kdl:2: locations.l.upstream: no upstream block is named "nobody"' in text


_SCALARS: Any = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["${a}", "$${a}", "%{", "a\nb\n", "  a\n ${x}\n", "EOT\nEOT\n", "\\n\n\n"]),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.booleans(),
    st.integers(-(1 << 20), 1 << 20).map(lambda number: number / 16),
)
_KEYS = st.sampled_from(["a", "b_c", "plugins", "location", "addrs", "headers", "d-e"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.text(st.characters(codec="utf-8"), max_size=5) | _KEYS, inside, max_size=3
        )
    ),
    max_leaves=6,
)
_TABLES = st.dictionaries(_KEYS, _VALUES, max_size=4)
_DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "basic": _TABLES,
        "plugins": st.dictionaries(
            st.text(st.characters(codec="utf-8"), max_size=5), _TABLES, min_size=1, max_size=2
        ),
    },
)


@given(_DOCUMENTS)
def test_hcl_has_a_form_for_everything(tables: dict[str, Any]) -> None:
    assert HCL.parse(write_hcl(tables)) == tables


@given(_DOCUMENTS)
def test_kdl_has_a_form_for_everything(tables: dict[str, Any]) -> None:
    assert KDL.parse(write_kdl(tables)) == tables


@given(st.text('ab1{}[]="\\/*#-$%<\n, ()', max_size=40))
def test_nonsense_gives_an_error_or_tables(text: str) -> None:
    for form in (HCL, KDL):
        try:
            assert isinstance(form.parse(text), dict)
        except FormatError as error:
            assert error.line in range(1, text.count("\n") + 2)  # noqa: PT017
