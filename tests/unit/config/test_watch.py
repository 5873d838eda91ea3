"""When a change of the files is told: once, and when they are quiet."""

import os
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pingap.config.fingerprint import Fingerprint
from pingap.config.watch import (
    MISSING_SECONDS,
    POLL_SECONDS,
    QUIET_SECONDS,
    ConfigurationWatch,
    Watcher,
)


def state(**files):
    """A fingerprint; a file's version stands for all of its stamp, 0 for none."""
    stamps = {name: (version,) * 4 if version else None for name, version in files.items()}
    return Fingerprint({name: stamp for name, stamp in stamps.items() if stamp is not None})


FIRST = state(a=1, b=1)


def told(watcher, *looks):
    """Times of the looks at which something was told -> what."""
    return {when: changed for when, files in looks if (changed := watcher.see(when, files))}


def test_nothing_changes():
    assert told(Watcher(FIRST), (0, FIRST), (1, FIRST), (2, FIRST)) == {}


def test_a_change_is_told_once_when_it_is_quiet():
    new = state(a=2, b=1)
    assert told(Watcher(FIRST), (0, new), (0.1, new), (0.25, new), (1, new), (9, new)) == {
        0.25: ["a"]
    }


def test_a_burst_of_writes_is_one_change():
    looks = [(0.15 * step, state(a=step + 2, b=1)) for step in range(10)]
    last = state(a=11, b=2)
    assert told(Watcher(FIRST), *looks, (1.5, last), (1.6, last), (1.8, last)) == {1.8: ["a", "b"]}


def test_what_is_undone_is_no_change():
    assert told(Watcher(FIRST), (0, state(a=2, b=1)), (0.1, FIRST), (1, FIRST)) == {}


def test_a_file_that_is_missing_for_a_moment_is_no_change_yet():
    """An editor moves the old file away, and then the new one to its place."""
    watcher, gone, new = Watcher(FIRST), state(b=1), state(a=2, b=1)
    assert told(watcher, (0, gone), (0.5, gone), (0.9, new), (1.0, new), (1.2, new)) == {1.2: ["a"]}


def test_a_file_that_stays_away_is_a_change():
    gone = state(b=1)
    assert told(Watcher(FIRST), (0, gone), (0.9, gone), (1.1, gone), (5, gone)) == {1.1: ["a"]}


def test_what_was_told_is_not_told_again_but_the_next_change_is():
    """So a configuration that is wrong is tried once, and again when somebody mends it."""
    wrong, right = state(a=2, b=1), state(a=3, b=1)
    looks = [(when, wrong) for when in (0, 0.5, 1, 60)] + [(61, right), (61.5, right), (62, right)]
    assert told(Watcher(FIRST), *looks) == {0.5: ["a"], 61.5: ["a"]}


def test_going_back_to_the_state_before_is_a_change_after_it_was_told():
    new = state(a=2, b=1)
    assert told(Watcher(FIRST), (0, new), (1, new), (2, FIRST), (3, FIRST)) == {1: ["a"], 3: ["a"]}


def test_what_is_read_anyway_is_known():
    watcher, new = Watcher(FIRST), state(a=2, b=1)
    watcher.see(0, new)
    watcher.know(new)
    assert told(watcher, (1, new), (2, new)) == {}


def test_other_files_can_be_watched_from_now_on():
    watcher = Watcher(Fingerprint({"a": (1,) * 4}, {"old.pem": (1,) * 4, "gone.pem": (1,) * 4}))
    # While the configuration was read, old.pem and a changed once more: that is not lost.
    now = Fingerprint({"a": (2,) * 4}, {"old.pem": (2,) * 4, "new.pem": (7,) * 4})
    watcher.watch(now)
    assert told(watcher, (0, now), (1, now)) == {1: ["a", "old.pem"]}


def test_it_says_when_to_look_again():
    watcher, new = Watcher(FIRST), state(a=2, b=1)
    assert watcher.seconds_to_wait(0) == POLL_SECONDS
    watcher.see(10, new)
    assert 0 < watcher.seconds_to_wait(10) <= QUIET_SECONDS
    assert watcher.seconds_to_wait(11) > 0
    watcher.see(12, state(b=1))
    assert 0 < watcher.seconds_to_wait(12) <= POLL_SECONDS
    watcher.see(12 + 2 * MISSING_SECONDS, state(b=1))
    assert watcher.seconds_to_wait(99) == POLL_SECONDS
    assert repr(watcher) == "<Watcher quiet>"


versions = st.fixed_dictionaries({"a": st.integers(0, 3), "b": st.integers(0, 3)})
writes = st.lists(st.tuples(st.floats(0, 1.5), versions), max_size=12)


@given(writes, st.floats(0.01, 0.6))
def test_any_writes_end_with_one_report_of_the_last_state(steps, poll):
    """Whatever is written and whenever it is looked at."""
    watcher = Watcher(FIRST)
    last_write, time_of_write = FIRST, 0.0
    timeline = []
    for pause, files in steps:
        time_of_write += pause
        last_write = state(**files)
        timeline.append((time_of_write, last_write))
    reports, files, now = [(-1.0, FIRST)], FIRST, 0.0
    while now < time_of_write + 10:
        while timeline and timeline[0][0] <= now:
            files = timeline.pop(0)[1]
        if changed := watcher.see(now, files):
            assert changed == files.changed_since(reports[-1][1])
            reports.append((now, files))
        now += poll
    assert reports[-1][1] == last_write
    after = [one for one in reports[1:] if one[0] >= time_of_write]
    assert len(after) <= 1
    for (_, before), (_, told_now) in pairwise(reports):
        assert before != told_now


@given(writes)
def test_nothing_is_told_before_it_is_quiet(steps):
    watcher, now, changed_at, files = Watcher(FIRST), 0.0, 0.0, FIRST
    for pause, versions_now in steps:
        now += pause
        if (fresh := state(**versions_now)) != files:
            files, changed_at = fresh, now
        if watcher.see(now, files):
            assert now - changed_at >= QUIET_SECONDS


def test_files_are_watched(tmp_path):
    conf, key = tmp_path / "conf.d", tmp_path / "key.pem"
    conf.mkdir()
    (conf / "a.toml").write_text("1")
    key.write_text("1")
    watch = ConfigurationWatch(str(conf))
    watch.watch([str(key)])
    assert watch.poll(0) == []
    os.utime(key, (1, 1))
    assert watch.poll(1) == []
    assert watch.seconds_to_wait(1) <= QUIET_SECONDS
    assert watch.poll(1.5) == [str(key)]
    (conf / "b.toml").write_text("2")
    watch.know()
    assert [watch.poll(when) for when in (2, 3, 4)] == [[], [], []]
    (conf / "b.toml").unlink()
    assert [watch.poll(when) for when in (5, 5.5, 6.5)] == [[], [], [f"{conf}/b.toml"]]
