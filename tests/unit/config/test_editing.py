"""Changes of items in TOML: what changes, what stays, and forms that are rare."""

from __future__ import annotations

import difflib
import time
from typing import Any

import pytest
import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from pingap.config import Snapshot
from pingap.config.editing.documents import Layout, edited_documents
from pingap.config.editing.toml_text import EditError, edited
from pingap.config.editing.values import same

TEXT = """\
# The shop. All files belong to the team "web".

[basic]
name = "x"  # the name

[servers.web]
addr = "127.0.0.1:80"
locations = ["shop"]   # only one

# The shop itself.
# It has no host.
[locations.shop]
path = "/"      # root
upstream = 'u'

[plugins.p]
category = "x"

# rule one
[[plugins.p.rules]]
a = 1 # one
[[plugins.p.rules]]
a = 2

# a note about nothing

[upstreams]
u.addrs = ["127.0.0.1:1"]  # dotted
v = {addrs = ["127.0.0.1:2"]}
"""


def changes(items: dict[tuple[str, ...], Any], text: str = TEXT) -> list[str]:
    """Return the changed lines."""
    lines = difflib.unified_diff(text.split("\n"), edited(text, items).split("\n"), n=0)
    return [line for line in lines if line[:3] not in ("---", "+++", "@@ ")]


def test_only_what_differs_is_written() -> None:
    new = {"path": "/x", "upstream": "u", "host": "a.example", "plugins": ["p"]}
    assert changes({("locations", "shop"): new}) == [
        '-path = "/"      # root',
        '+path = "/x"      # root',
        '+host = "a.example"',
        '+plugins = ["p"]',
    ]


def test_an_equal_table_changes_nothing() -> None:
    assert (
        edited(TEXT, {("basic",): {"name": "x"}, ("upstreams", "v"): {"addrs": ["127.0.0.1:2"]}})
        == TEXT
    )


def test_a_new_item_follows_those_of_its_section() -> None:
    new = {"path": "/x", "remark": "a\nb\n"}
    text = edited(TEXT, {("locations", "new.one"): new})
    assert '\nupstream = \'u\'\n\n[locations."new.one"]\npath = "/x"\nremark = ' in text
    assert text.index("[plugins.p]") > text.index("new.one")
    assert tomli.loads(text)["locations"]["new.one"] == new


def test_an_item_is_removed_with_the_comments_above_it() -> None:
    start, end = TEXT.index("# The shop itself"), TEXT.index("[plugins.p]")
    assert edited(TEXT, {("locations", "shop"): None}) == TEXT[:start] + TEXT[end:]


def test_comments_apart_stay_when_items_are_removed() -> None:
    text = edited(TEXT, {("basic",): None, ("plugins", "p"): None})
    assert text.startswith("# The shop. All files")
    assert "# a note about nothing" in text
    assert "rule one" not in text


def test_arrays_of_tables_change_in_place() -> None:
    new = {"category": "x", "rules": [{"a": 1}, {"a": 3}, {"a": 4, "b": {"c": True}}]}
    assert changes({("plugins", "p"): new}) == [
        "-a = 2",
        "+a = 3",
        "+",
        "+[[plugins.p.rules]]",
        "+a = 4",
        "+b = { c = true }",
    ]
    shorter = {"category": "x", "rules": [{"a": 1}]}
    assert changes({("plugins", "p"): shorter})[0] == "-[[plugins.p.rules]]"
    assert tomli.loads(edited(TEXT, {("plugins", "p"): {"category": "x", "rules": []}}))


def test_items_in_other_forms_become_tables() -> None:
    text = edited(TEXT, {("upstreams", "u"): {"addrs": ["x"]}, ("upstreams", "v"): None})
    assert tomli.loads(text)["upstreams"] == {"u": {"addrs": ["x"]}}
    assert "[upstreams.u]" in text


def test_what_cannot_be_changed_is_told() -> None:
    text = "upstreams = { u = { addrs = ['x'] } }\n"
    with pytest.raises(EditError, match=r"upstreams\.u: write each item as a table of its own"):
        edited(text, {("upstreams", "u"): None})
    with pytest.raises(EditError, match="line 1 is not valid TOML"):
        edited("[a", {("basic",): {}})
    with pytest.raises(EditError, match="a value of type NoneType cannot be written"):
        edited("", {("basic",): {"name": None}})


def test_a_comment_sign_in_a_text_is_no_comment() -> None:
    text = '[basic]\nname = """\n# no comment"""\n[servers.a]\naddr = "x"\n'
    assert edited(text, {("servers", "a"): None}) == '[basic]\nname = """\n# no comment"""\n'


def test_line_ends_are_kept() -> None:
    text = TEXT.replace("\n", "\r\n")
    new = edited(text, {("basic",): {"name": "y", "threads": 1}})
    assert new == text.replace('name = "x"  # the name', 'name = "y"  # the name\r\nthreads = 1')


NAMES = st.sampled_from(["a", "b c", "d.e", '"', "ü"])
SCALARS = (
    st.booleans() | st.integers(-9, 9) | st.floats(width=16) | st.text(max_size=6) | st.dates()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
TABLES = st.dictionaries(st.sampled_from(["x", "y", "z 1"]), VALUES, max_size=3)
FORMS = ["[plugins.{0}]\nx = {1}\n", "[plugins]\n{0}.x = {1}\n", "[plugins]\n{0} = {{x = {1}}}\n"]


@given(
    form=st.sampled_from(FORMS),
    first=TABLES,
    items=st.dictionaries(st.tuples(st.just("plugins"), NAMES), TABLES | st.none(), max_size=4),
)
@example(form=FORMS[0], first={"x": [{"x": 1}]}, items={("plugins", "a"): {"x": []}})
def test_what_is_written_is_what_was_given(
    form: str, first: dict[str, Any], items: dict[tuple[str, str], dict[str, Any] | None]
) -> None:
    text = (
        "# top\n\n"
        + form.format("a", "[1,\n 2 # two\n]")
        + "\n# about web\n[servers.web]\naddr = ''\n"
    )
    text = edited(text, {("plugins", "b c"): first})
    result = edited(text, items)
    expected = {("plugins", "a"): {"x": [1, 2]}, ("plugins", "b c"): first, **items}
    found = tomli.loads(result).get("plugins", {})
    assert same(found, {path[1]: one for path, one in expected.items() if one is not None})
    assert result.startswith("# top\n\n")
    assert "\n# about web\n[servers.web]\naddr = ''\n" in result


def test_thousands_of_items_take_little_time() -> None:
    item = '# {0}\n[locations.l{0}]\nhost = "{0}.example"  # c\npath = "/{0}"\nplugins = ["a", "b"]\n\n'
    text = "".join(item.format(number) for number in range(3000))
    began = time.process_time()
    new = edited(text, {("locations", "l1500"): {"path": "/new"}})
    assert time.process_time() - began < 1
    assert new == text.replace(
        'host = "1500.example"  # c\npath = "/1500"\nplugins = ["a", "b"]\n', 'path = "/new"\n'
    )


def documents(
    files: dict[str, str], items: dict[tuple[str, ...], Any], layout: Layout = Layout.BY_SECTION
) -> dict[str, str | None]:
    snapshot = Snapshot(directory="conf.d", files=tuple(files.items()))
    return edited_documents(snapshot, items, layout=layout)


LOCATION = "[locations.a]\npath = '/'\n"


@pytest.mark.parametrize(
    ("files", "layout", "name"),
    [
        ({"pingap.toml": LOCATION}, Layout.ONE_DOCUMENT, "pingap.toml"),
        ({"basic.toml": ""}, Layout.BY_SECTION, "locations.toml"),
        ({"basic.toml": ""}, Layout.BY_ITEM, "locations/new.toml"),
        ({"conf.d/locations.toml": LOCATION}, Layout.BY_SECTION, "conf.d/locations.toml"),
        (
            {"conf.d/shop.toml": LOCATION, "conf.d/x.toml": ""},
            Layout.BY_SECTION,
            "conf.d/shop.toml",
        ),
        ({"conf.d/locations/a.toml": LOCATION}, Layout.BY_SECTION, "locations/new.toml"),
        ({"conf.d/locations.toml": LOCATION}, Layout.BY_ITEM, "locations/new.toml"),
    ],
)
def test_new_items_get_into_the_right_document(
    files: dict[str, str], layout: Layout, name: str
) -> None:
    new = documents(files, {("locations", "new"): {"path": "/new"}}, layout)
    assert new == {
        name: files.get(name, "") + "\n" * (name in files) + '[locations.new]\npath = "/new"\n'
    }


def test_items_are_changed_where_they_are() -> None:
    files = {"a.toml": LOCATION, "b.toml": LOCATION.replace(".a", ".b"), "c.toml": "[basic]\n"}
    items = {
        ("locations", "a"): None,
        ("locations", "b"): {"path": "/b"},
        ("basic",): {"threads": 2},
    }
    assert documents(files, items, Layout.BY_ITEM) == {
        "a.toml": "",
        "b.toml": '[locations.b]\npath = "/b"\n',
        "c.toml": "[basic]\nthreads = 2\n",
    }
    assert documents({"conf.d/locations/a.toml": LOCATION}, {("locations", "a"): None}) == {
        "conf.d/locations/a.toml": None
    }


@pytest.mark.parametrize(
    ("files", "path", "table", "told"),
    [
        ({"a.toml": ""}, ("location", "a"), {}, 'no section "location"; did you mean "locations"'),
        ({"a.toml": ""}, ("locations",), {}, "locations is not an item"),
        (
            {"a.toml": ""},
            ("locations", "x"),
            None,
            "locations.x cannot be removed: it does not exist",
        ),
        ({"a.toml": ""}, ("locations", "../x"), {}, '"../x" cannot name a file'),
        ({"a.toml": "", "b.toml": "\n[x"}, ("locations", "x"), {}, "b.toml:2: is not valid TOML"),
    ],
)
def test_what_is_wrong_is_told(
    files: dict[str, str], path: tuple[str, ...], table: dict[str, Any] | None, told: str
) -> None:
    with pytest.raises(EditError) as caught:
        documents(files, {path: table}, Layout.BY_ITEM)
    assert told in str(caught.value)
