"""Reading: files, directories, merging, includes, and where problems are shown."""

import os

import pytest

from pingap.config import ConfigError, load, parse

ETCD = "etcd://user:secret@10.0.0.1:2379/pingap?user=a&password=b"


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Writes files below ``conf.d`` and makes its path relative, as an operator would write it."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "conf.d" / name.replace("__", "/").replace("_toml", ".toml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return "conf.d"

    return write


def problems(path, **options):
    with pytest.raises(ConfigError) as caught:
        load(path, **options)
    return str(caught.value).splitlines()[:-1]


def test_a_single_file_is_loaded(conf):
    conf(one_toml='[upstreams.a]\naddrs = ["10.0.0.1:80"]\n')
    config = load("conf.d/one.toml")
    assert config.upstreams["a"].addrs == ("10.0.0.1:80",)
    assert config.servers == {}
    assert config.warnings == []


def test_a_path_object_is_accepted(conf, tmp_path):
    conf(one_toml="[basic]\nname = 'x'\n")
    assert load(tmp_path / "conf.d").basic.name == "x"


def test_the_files_of_a_directory_are_merged_in_path_order(conf):
    path = conf(
        b_toml='[upstreams.b]\naddrs = ["10.0.0.1"]\n[locations.b]\nupstream = "a"\n',
        a__z_toml='[upstreams.a]\naddrs = ["10.0.0.2"]\n',
        basic_toml='[basic]\nname = "edge"\n',
    )
    config = load(path)
    assert list(config.upstreams) == ["a", "b"]
    assert config.locations["b"].upstream == "a"
    assert config.basic.name == "edge"


def test_hidden_files_and_directories_are_left_out(conf, tmp_path):
    path = conf(a_toml="[basic]\nname = 'seen'\n")
    (tmp_path / "conf.d" / ".a.toml").write_text("not toml")
    (tmp_path / "conf.d" / "..data").mkdir()
    (tmp_path / "conf.d" / "..data" / "a.toml").write_text("[basic]\nname = 'twice'\n")
    assert load(path).basic.name == "seen"


def test_an_item_in_two_files_names_both_places(conf):
    path = conf(
        a_toml='\n[upstreams.pool]\naddrs = ["10.0.0.1"]\n[basic]\nname = "a"\n',
        b_toml='[basic]\nname = "b"\n\n[upstreams.pool]\naddrs = ["10.0.0.2"]\n',
    )
    assert problems(path) == [
        "conf.d/b.toml:1: basic: is defined here and in conf.d/a.toml:4",
        "conf.d/b.toml:4: upstreams.pool: is defined here and in conf.d/a.toml:2",
    ]


def test_problems_of_all_files_are_told_at_once_in_file_order(conf):
    path = conf(
        plugins_toml='[plugins.ping]\ncategory = "ping"\n\n[plugins.x]\nstep = "request"\n',
        locations_toml='[locations.a]\npath = "/"\n\nweigt = 3\nplugins = [\n  "ping",\n  "pong",\n]\n',
        basic_toml="[basic]\ngrace_period = 12\n",
    )
    assert problems(path) == [
        'conf.d/basic.toml:2: basic.grace_period: found 12 (integer), expected a duration such as "30s": write "12s"',
        'conf.d/locations.toml:4: locations.a.weigt: unknown key; did you mean "weight"?',
        'conf.d/locations.toml:7: locations.a.plugins[1]: no plugin block is named "pong"; did you mean "ping"?',
        "conf.d/plugins.toml:4: plugins.x.category: this key is required",
    ]


def test_the_path_is_shown_as_it_was_written(conf):
    conf(a_toml="[basic]\nnam = 1\n")
    assert problems("./conf.d/")[0].startswith("./conf.d/a.toml:2: basic.nam: ")
    assert problems("conf.d/a.toml")[0].startswith("conf.d/a.toml:2: basic.nam: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[basic]\nname = \n", "conf.d/a.toml:2: is not valid TOML: invalid value at column 8"),
        (
            "[basic]\nname = [1,\n",
            "conf.d/a.toml:2: is not valid TOML: invalid value at the end of the text",
        ),
        (
            "[basic]\nname = 1\nname = 2\n",
            "conf.d/a.toml:3: is not valid TOML: cannot overwrite a value at column 9",
        ),
    ],
)
def test_a_syntax_error_has_its_file_and_line(conf, text, problem):
    assert problems(conf(a_toml=text)) == [problem]


def test_a_number_without_end_is_a_problem(conf):
    path = conf(a_toml="a = " + "9" * 5000)
    assert problems(path) == ["conf.d/a.toml:1: is not valid TOML: a number is too long"]


def test_too_deep_nesting_is_a_problem(conf):
    path = conf(a_toml="a = " + "[" * 5000)
    assert problems(path) == ["conf.d/a.toml: is not valid TOML: nested too deeply"]


def test_a_broken_file_does_not_make_the_names_in_it_unknown(conf):
    path = conf(
        a_toml='[locations.a]\nupstream = "pool"\nwheight = 1\n',
        b_toml='[upstreams.pool]\naddrs = "10.0.0.1\n',
    )
    assert problems(path) == [
        'conf.d/a.toml:3: locations.a.wheight: unknown key; did you mean "weight"?',
        "conf.d/b.toml:2: is not valid TOML: illegal character '\\n' at column 18",
    ]


def test_bad_utf8_has_its_line(conf, tmp_path):
    path = conf(a_toml="")
    (tmp_path / "conf.d" / "a.toml").write_bytes(b"[basic]\nname = '\xff'\n")
    assert problems(path) == ["conf.d/a.toml:2: is not UTF-8 text"]


def test_a_byte_order_mark_is_skipped(conf, tmp_path):
    path = conf(a_toml="")
    (tmp_path / "conf.d" / "a.toml").write_bytes(b"\xef\xbb\xbf[basic]\nname = 'x'\n")
    assert load(path).basic.name == "x"


def test_an_unreadable_directory_is_a_problem(conf, monkeypatch):
    path = conf(a_toml="", sub__b_toml="")
    scandir = os.scandir

    def refuse_sub(directory):
        if str(directory).endswith("sub"):
            raise PermissionError(13, "Permission denied", directory)
        return scandir(directory)

    monkeypatch.setattr(os, "scandir", refuse_sub)
    assert problems(path) == ["conf.d/sub: cannot be read: Permission denied"]


def test_a_linked_directory_is_not_read_but_told(conf, tmp_path):
    path = conf(a_toml="")
    (tmp_path / "conf.d" / "loop").symlink_to(tmp_path / "conf.d")
    assert [str(warning) for warning in load(path).warnings] == [
        "conf.d/loop: was not read: it is a link to a directory"
    ]


def test_an_unreadable_file_is_a_problem(conf, tmp_path):
    path = conf(a_toml="")
    (tmp_path / "conf.d" / "b.toml").symlink_to("nowhere")
    assert problems(path) == ["conf.d/b.toml: cannot be read: No such file or directory"]


@pytest.mark.parametrize("path", ["missing", "missing.toml", "missing?separation"])
def test_a_missing_path_is_a_problem_and_nothing_is_created(conf, path):
    name = path.partition("?")[0]
    assert problems(path) == [f"{name}: cannot be read: No such file or directory"]
    assert not os.path.lexists(name)


def test_an_empty_directory_is_a_problem(conf, tmp_path):
    (tmp_path / "empty").mkdir()
    assert problems("empty") == ["empty: there is no *.toml file in this directory"]


@pytest.mark.parametrize("suffix", ["hcl", "kdl"])
def test_other_formats_are_named(conf, tmp_path, suffix):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"a.{suffix}").write_text("")
    needed = "needs the distribution pingap-formats, which is part of this release: install it, too"
    assert problems("other") == [f"other/a.{suffix}: {needed}"]
    assert problems(f"other/a.{suffix}") == [f"other/a.{suffix}: {needed}"]


def test_other_formats_beside_toml_are_left_alone(conf, tmp_path):
    path = conf(a_toml="[basic]\nname = 'x'\n")
    (tmp_path / "conf.d" / "old.hcl").write_text("")
    assert load(path).basic.name == "x"


def test_what_is_no_path_is_refused_and_its_password_is_not_shown():
    assert problems(ETCD) == ["etcd://: is a storage of a distribution, expected a path"]


@pytest.mark.parametrize("query", ["separation", "separation=true", "enable_history"])
def test_the_layout_of_the_directory_does_not_matter_for_reading(conf, query):
    conf(upstreams__a_toml='[upstreams.a]\naddrs = ["10.0.0.1"]\n')
    config = load(f"conf.d?{query}")
    assert list(config.upstreams) == ["a"]
    assert config.warnings == []


def test_an_unknown_query_part_is_a_problem(conf):
    conf(a_toml="")
    assert problems("conf.d?seperation") == [
        'conf.d: unknown parameter "seperation" (known: separation and enable_history)'
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server.a]\n", '<test>:1: server: unknown table; did you mean "servers"?'),
        ("\nthreads = 1\n", '<test>:2: threads: unknown key; did you mean "basic.threads"?'),
        (
            "rate = 1\n",
            "<test>:1: rate: unknown key: it precedes the first table, so it belongs to none",
        ),
        (
            'list = ["a"]\n',
            "<test>:1: list: unknown key: it precedes the first table, so it belongs to none",
        ),
        ("servers = 1\n", "<test>:1: servers: found 1 (integer), expected a table"),
        ("[[servers]]\n", "<test>:1: servers: found an array, expected a table"),
        ("[servers]\nweb = 'x'\n", '<test>:2: servers.web: found "x" (string), expected a table'),
        ("basic = 2\n", "<test>:1: basic: found 2 (integer), expected a table"),
    ],
)
def test_the_shape_of_the_document_is_checked(text, problem):
    with pytest.raises(ConfigError) as caught:
        parse(text, "<test>")
    assert str(caught.value) == f"{problem}\n1 problem."


def test_no_configuration_at_all_is_the_defaults():
    config = parse("")
    assert config.basic.max_connections == 16384
    assert config.warnings == []


STORAGES = '''
[storages.limits]
category = "config"
value = """
client_max_body_size = "1MB"
weight = 7"""

[storages.more]
category = "config"
value = 'max_processing = 5'
'''


def included(locations, storages=STORAGES):
    return parse(f"[locations.a]\n{locations}\n{storages}", "c.toml")


def include_problems(locations, storages=STORAGES):
    with pytest.raises(ConfigError) as caught:
        included(locations, storages)
    return str(caught.value).splitlines()[:-1]


def test_included_keys_overwrite_those_of_the_item():
    location = included('weight = 1\nmax_retries = 2\nincludes = ["limits", "more"]').locations["a"]
    assert location.weight == 7
    assert location.client_max_body_size == 10**6
    assert location.max_processing == 5
    assert location.max_retries == 2
    assert location.includes == ("limits", "more")


@pytest.mark.parametrize(
    ("section", "line", "key", "value"),
    [
        ("servers", 'addr = "10.0.0.1:80"', "addr", "10.0.0.1:80"),
        ("upstreams", 'addrs = ["10.0.0.1"]', "addrs", ("10.0.0.1",)),
    ],
)
def test_servers_and_upstreams_have_includes_as_well(section, line, key, value):
    storage = f"[storages.s]\ncategory = ''\nvalue = '{line}'\n"
    config = parse(f"[{section}.a]\nincludes = ['s']\n{storage}")
    assert getattr(getattr(config, section)["a"], key) == value


def test_an_unknown_storage_is_a_problem():
    assert include_problems('includes = ["limits", "mroe"]') == [
        'c.toml:2: locations.a.includes[1]: no storage block is named "mroe"; did you mean "more"?'
    ]


def test_a_fragment_that_does_not_parse_is_named():
    storages = '[storages.bad]\ncategory = ""\nvalue = """\nweight = 1\nx = = 2"""\n'
    assert include_problems('includes = ["bad"]', storages) == [
        'c.toml:2: locations.a.includes[0]: line 2 of the storage "bad" is not valid TOML:'
        " invalid value at column 5"
    ]


def test_a_key_in_two_fragments_is_named_where_it_stands_again():
    storages = STORAGES + '[storages.again]\ncategory = ""\nvalue = "weight = 8"\n'
    assert include_problems('includes = ["limits", "again"]', storages) == [
        'c.toml:2: locations.a.includes[1]: line 1 of the storage "again" is not valid TOML:'
        " cannot overwrite a value at the end of the text"
    ]


def test_a_wrong_key_from_a_storage_is_shown_where_it_was_written():
    storages = STORAGES.replace("max_processing = 5", "max_procesing = 5")
    assert include_problems('includes = ["limits", "more"]', storages) == [
        'c.toml:12: locations.a.max_procesing: unknown key; did you mean "max_processing"?'
    ]


def test_includes_of_the_wrong_type_are_the_models_business():
    assert include_problems("includes = [1]") == [
        "c.toml:2: locations.a.includes[0]: found 1 (integer), expected a string"
    ]
    assert include_problems('includes = "limits"') == [
        'c.toml:2: locations.a.includes: found "limits" (string), expected an array'
    ]


def test_the_storage_may_stand_in_another_file(conf):
    path = conf(
        locations_toml='[locations.a]\nincludes = ["s"]\n',
        storages_toml="[storages.s]\ncategory = ''\nvalue = 'weight = \"x\"'\n",
    )
    assert problems(path) == [
        'conf.d/storages.toml:3: locations.a.weight: found "x" (string), expected an integer'
    ]


def test_a_key_path_is_located_later_too(conf):
    path = conf(
        a_toml='[plugins.ping]\ncategory = "ping"\npath = "/x"\n',
        b_toml='[plugins."a:b"]\ncategory = "c"\n',
    )
    source = load(path).source
    assert (
        str(source.problem(("plugins", "ping", "path"), "m"))
        == "conf.d/a.toml:3: plugins.ping.path: m"
    )
    assert (
        str(source.problem(("plugins", "a:b", "x"), "m")) == 'conf.d/b.toml:1: plugins."a:b".x: m'
    )
    assert str(source.problem(("plugins", "none"), "m")) == "plugins.none: m"
