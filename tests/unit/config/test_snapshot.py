"""Snapshots: the texts of a configuration, read once."""

import json

import pytest

from pingap.config import ConfigError, Snapshot, load, load_snapshot, parse, read

APP = '[upstreams.app]\naddrs = ["10.0.0.1:80"]\n'


@pytest.fixture
def conf(tmp_path):
    directory = tmp_path / "conf.d"
    (directory / "sub").mkdir(parents=True)
    (directory / "app.toml").write_text(APP)
    (directory / "sub" / "basic.toml").write_text('\ufeff[basic]\nname = "grün"\n')
    return directory


def sent(snapshot):
    return Snapshot.from_bytes(snapshot.to_bytes())


def mistakes(snapshot):
    with pytest.raises(ConfigError) as caught:
        load_snapshot(snapshot)
    return str(caught.value)


def test_what_happens_to_the_files_afterwards_does_not_matter(conf):
    snapshot = read(conf)
    (conf / "app.toml").write_text("broken [")
    (conf / "sub" / "basic.toml").unlink()
    for one in (snapshot, sent(snapshot)):
        config = load_snapshot(one)
        assert config.basic.name == "grün"
        assert config.upstreams["app"].addrs == ("10.0.0.1:80",)
        assert config.source.directory == conf


def test_it_survives_the_way_through_a_pipe(conf):
    (conf / "link").symlink_to("sub")
    snapshot = read(conf)
    assert snapshot.warnings
    assert sent(snapshot) == snapshot
    assert [name for name, _ in snapshot.files] == [f"{conf}/app.toml", f"{conf}/sub/basic.toml"]


def test_a_name_that_is_not_unicode_survives(conf):
    snapshot = Snapshot(files=(("conf\udce4.toml", APP),))
    assert sent(snapshot) == snapshot


@pytest.mark.parametrize(
    "location", ["missing.toml", "one.hcl", "etcd://host/x", "empty", "bytes.toml", "x.toml?y=1"]
)
def test_what_could_not_be_read_is_told_when_it_is_loaded(tmp_path, monkeypatch, location):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"[basic]\nname = '\xff'\n")
    (tmp_path / "x.toml").write_text(APP)
    snapshot = read(location)
    with pytest.raises(ConfigError) as caught:
        load(location)
    assert mistakes(snapshot) == mistakes(sent(snapshot)) == str(caught.value)


def test_mistakes_have_their_places(conf):
    (conf / "app.toml").write_text(APP + "nonsense = 1\n")
    assert f"{conf}/app.toml:3: upstreams.app.nonsense" in mistakes(sent(read(conf)))


def test_a_text_is_a_snapshot_too(tmp_path):
    snapshot = sent(Snapshot.of_text(APP, "<quick start>", tmp_path))
    config = load_snapshot(snapshot)
    assert config.source.directory == tmp_path
    assert config.upstreams == parse(APP).upstreams
    assert "<quick start>:1" in mistakes(Snapshot.of_text("x", "<quick start>"))


def test_its_texts_are_not_in_its_repr():
    assert repr(Snapshot.of_text('key = "secret"', "a.toml")) == "<Snapshot a.toml>"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"directory": 1, "files": [], "problems": [], "warnings": []}).encode(),
        json.dumps({"directory": "", "files": [["a"]], "problems": [], "warnings": []}).encode(),
        json.dumps({"directory": "", "files": [["a", 1]], "problems": [], "warnings": []}).encode(),
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(ValueError, match="not a configuration snapshot"):
        Snapshot.from_bytes(data)


def test_the_tables_of_a_configuration_are_those_written_with_includes_expanded():
    config = parse(
        """
        [storages.limits]
        category = "x"
        value = "read_timeout = '1s'"
        [upstreams.app]
        addrs = ["10.0.0.1"]
        includes = ["limits"]
        """
    )
    assert config.tables["upstreams"]["app"] == {
        "addrs": ["10.0.0.1"],
        "includes": ["limits"],
        "read_timeout": "1s",
    }
    assert "read_timeout" not in repr(config.tables["basic"])
    assert "1s" not in repr(config).partition("tables")[2]
