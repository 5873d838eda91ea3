import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pingap.config import (
    ByteSize,
    Duration,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("30s", 30.0),
        ("30 s", 30.0),
        (" 30s ", 30.0),
        ("4.2s", 4.2),
        ("1m30s", 90.0),
        ("1m 30s", 90.0),
        ("1 h  30\tmin", 5400.0),
        ("1ms", 0.001),
        ("1 msec", 0.001),
        ("2 millis", 0.002),
        ("5us", 5e-6),
        ("5usec", 5e-6),
        ("5µs", 5e-6),
        ("7ns", 7e-9),
        ("7 nsec", 7e-9),
        ("7nanos", 7e-9),
        ("1sec 2secs 3second 4seconds", 10.0),
        ("1mins 1minute 1minutes", 180.0),
        ("1hr 1hrs 1hour 1hours", 14400.0),
        ("1d 1day 1days", 259200.0),
        ("1w 1wk 1wks 1week 1weeks", 5 * 604800.0),
        ("1M", 30.44 * 86400),
        ("2months", 2 * 30.44 * 86400),
        ("1month", 30.44 * 86400),
        ("1y 1yr 1yrs 1year 1years", 5 * 365.25 * 86400),
    ],
)
def test_a_duration_is_read_in_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'found "", expected a duration such as "30s"'),
        ("s", 'found "s", expected a duration such as "30s"'),
        ("30", 'found "30", expected a duration such as "30s": write "30s"'),
        ("00", 'found "00", expected a duration such as "30s": write "00s"'),
        ("1m 30", 'found "1m 30", expected a duration such as "30s": a unit is missing'),
        ("30S", 'found "30S", expected a duration such as "30s": unknown unit "S"'),
        (
            "1fortnight",
            'found "1fortnight", expected a duration such as "30s": unknown unit "fortnight"',
        ),
        ("-1s", 'found "-1s", expected a duration such as "30s"'),
        ("1s;", 'found "1s;", expected a duration such as "30s"'),
        (".5s", 'found ".5s", expected a duration such as "30s"'),
        ("1.s", 'found "1.s", expected a duration such as "30s": a unit is missing'),
        ("٣s", 'found "٣s", expected a duration such as "30s"'),
        ("9" * 30 + "s", f'found "{"9" * 30}s", expected a duration such as "30s": too long'),
    ],
)
def test_a_malformed_duration_is_told_what_was_expected(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_duration(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("12b", 12),
        ("1k", 1000),
        ("1 KB", 1000),
        ("1ki", 1024),
        ("8KiB", 8192),
        ("1.5kb", 1500),
        ("1.5 KiB", 1536),
        ("0.0001kb", 0),
        ("1m", 10**6),
        ("2MB", 2 * 10**6),
        ("2mi", 2 * 2**20),
        ("1g", 10**9),
        ("1gib", 2**30),
        ("1t", 10**12),
        ("1TiB", 2**40),
        ("1p", 10**15),
        ("1pib", 2**50),
        ("1e", 10**18),
        ("1EiB", 2**60),
    ],
)
def test_a_size_is_read_in_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        ("KiB", ""),
        ("-1", ""),
        ("1_000", ""),
        ("1.2.3", ""),
        ("10XB", ': unknown unit "XB"'),
        ("10 kbit", ': unknown unit "kbit"'),
        ("16EiB", ": too large"),
    ],
)
def test_a_malformed_size_is_told_what_was_expected(text, reason):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_size(text)
    expected = 'expected a size such as "16MiB" or a number of bytes'
    assert str(caught.value) == f'found "{text}", {expected}{reason}'


def test_a_negative_number_of_bytes_is_refused():
    with pytest.raises(ValueError, match=r"found -1, expected a size .*: it cannot be negative"):
        parse_size(-1)


def outcome(function, text):
    try:
        return function(text)
    except ValueError as error:
        return str(error)


def is_read_or_told(result):
    return result.startswith("found ") if isinstance(result, str) else result >= 0


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_value_error(text):
    assert is_read_or_told(outcome(parse_duration, text))


@given(st.text(alphabet="0123456789. kKmMiIbBxe", max_size=12))
def test_any_text_is_a_size_or_a_value_error(text):
    assert is_read_or_told(outcome(parse_size, text))


@given(st.integers(min_value=0, max_value=10**9))
def test_a_formatted_duration_is_read_back(millis):
    assert parse_duration(format_duration(millis / 1000)) == pytest.approx(millis / 1000)


@given(st.integers(min_value=0, max_value=2**63))
def test_a_formatted_size_is_read_back(size):
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (60.0, "1m"), (75.0, "1m 15s"), (0.5, "500ms"), (90061.0, "1d 1h 1m 1s")],
)
def test_durations_are_written_with_the_largest_units(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1, "1B"), (8192, "8KiB"), (10**7, "10MB"), (1536, "1536B"), (2**30, "1GiB")],
)
def test_sizes_are_written_in_the_largest_whole_unit(size, text):
    assert format_size(size) == text


class Settings(BaseModel):
    ttl: Duration = 60.0
    limit: ByteSize = 1024


def test_the_annotated_types_give_seconds_and_bytes():
    settings = Settings.model_validate({"ttl": "2m", "limit": "1MiB"})
    assert (settings.ttl, settings.limit) == (120.0, 2**20)
    assert Settings.model_validate({"limit": 7}).limit == 7


@pytest.mark.parametrize(
    "values",
    [{"ttl": 30}, {"ttl": 1.5}, {"ttl": True}, {"limit": True}, {"limit": 1.5}, {"ttl": []}],
)
def test_the_annotated_types_refuse_other_toml_types(values):
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(values)
    assert [details["type"] for details in caught.value.errors()] == ["expected"]


def test_the_annotated_types_have_a_json_schema():
    properties = Settings.model_json_schema(mode="serialization")["properties"]
    assert properties["ttl"]["type"] == "string"
    assert properties["ttl"]["default"] == "1m"
    assert properties["limit"]["default"] == "1KiB"
    assert {"type": "integer", "minimum": 0} in properties["limit"]["anyOf"]


def test_the_annotated_types_are_dumped_as_text_that_loads():
    settings = Settings.model_validate({"ttl": "90s", "limit": "10kb"})
    dumped = settings.model_dump(mode="json")
    assert dumped == {"ttl": "1m 30s", "limit": "10KB"}
    assert Settings.model_validate(dumped) == settings
