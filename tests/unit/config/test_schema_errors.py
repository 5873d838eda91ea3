from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    field_validator,
)

from pingap.config import ByteSize, Duration, Source, parse, problems_from


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    pattern: str
    status: int = 200


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    path: str = "/"
    port: Annotated[int, Field(gt=0, le=65535)] = 80
    ratio: float = 1.0
    enabled: bool = True
    names: list[str] = []
    some: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    word: Literal["request", "proxy_upstream"] = "request"
    mode: Mode = Mode.FAST
    ttl: Duration = 60.0
    limit: ByteSize = 0
    short: Annotated[str, Field(min_length=1, max_length=3)] = "abc"
    pattern: Annotated[str, Field(pattern="^a")] = "a"
    either: int | str = 0
    maybe: int | None = None
    url: HttpUrl | None = None
    token: SecretStr = SecretStr("")
    tokens: list[SecretStr] = []
    maybe_token: SecretStr | None = None
    rules: list[Rule] = []
    by_name: dict[str, Rule] = {}
    renamed: Annotated[int, Field(alias="max-age")] = 0

    @field_validator("path")
    @classmethod
    def begins_with_a_slash(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError(f'"{value}" does not begin with a slash')
        return value


def messages(values, model=Settings):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    found = problems_from(caught.value, ("plugins", "x"), Source(), model)
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pth": 1}, 'plugins.x.pth: unknown key; did you mean "path"?'),
        ({"max-ag": 1}, 'plugins.x.max-ag: unknown key; did you mean "max-age"?'),
        ({"zzzzz": 1}, "plugins.x.zzzzz: unknown key"),
        ({"path": 12}, "plugins.x.path: found 12 (integer), expected a string"),
        ({"path": "a"}, 'plugins.x.path: "a" does not begin with a slash'),
        ({"port": "80"}, 'plugins.x.port: found "80" (string), expected an integer'),
        ({"port": True}, "plugins.x.port: found true (boolean), expected an integer"),
        ({"port": 0}, "plugins.x.port: found 0 (integer), expected more than 0"),
        ({"port": 70000}, "plugins.x.port: found 70000 (integer), expected at most 65535"),
        ({"ratio": "1"}, 'plugins.x.ratio: found "1" (string), expected a number'),
        ({"enabled": 1}, "plugins.x.enabled: found 1 (integer), expected true or false"),
        ({"names": "a"}, 'plugins.x.names: found "a" (string), expected an array'),
        ({"names": ["a", 1]}, "plugins.x.names[1]: found 1 (integer), expected a string"),
        ({"some": []}, "plugins.x.some: found an array, expected at least 1 element"),
        ({"some": list("abc")}, "plugins.x.some: found an array, expected at most 2 elements"),
        (
            {"word": "reqest"},
            'plugins.x.word: found "reqest" (string), expected one of request, proxy_upstream;'
            ' did you mean "request"?',
        ),
        (
            {"ttl": 12},
            'plugins.x.ttl: found 12 (integer), expected a duration such as "30s": write "12s"',
        ),
        ({"ttl": []}, 'plugins.x.ttl: found an array, expected a duration such as "30s"'),
        (
            {"ttl": "12"},
            'plugins.x.ttl: found "12", expected a duration such as "30s": write "12s"',
        ),
        (
            {"limit": 1.5},
            'plugins.x.limit: found 1.5 (float), expected a size such as "16MiB" or a number of bytes',
        ),
        ({"short": ""}, 'plugins.x.short: found "" (string), expected at least 1 character'),
        (
            {"short": "abcd"},
            'plugins.x.short: found "abcd" (string), expected at most 3 characters',
        ),
        ({"pattern": "b"}, 'plugins.x.pattern: found "b" (string), expected text that matches ^a'),
        (
            {"either": True},
            "plugins.x.either: found true (boolean), expected an integer or a string",
        ),
        ({"maybe": "1"}, 'plugins.x.maybe: found "1" (string), expected an integer'),
        (
            {"rules": [{"pattern": 1}]},
            "plugins.x.rules[0].pattern: found 1 (integer), expected a string",
        ),
        (
            {"rules": [{"pattern": "a", "staus": 1}]},
            'plugins.x.rules[0].staus: unknown key; did you mean "status"?',
        ),
        (
            {"rules": [{"pattern": "a", "qqq": 1}]},
            "plugins.x.rules[0].qqq: unknown key (known keys: pattern, status)",
        ),
        ({"rules": [3]}, "plugins.x.rules[0]: found 3 (integer), expected a table"),
        ({"by_name": {"a b": {}}}, 'plugins.x.by_name."a b".pattern: this key is required'),
        ({"max-age": "1"}, 'plugins.x.max-age: found "1" (string), expected an integer'),
    ],
)
def test_a_refused_key_is_explained(values, message):
    assert messages(values) == [message]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"token": 1234}, "plugins.x.token: expected a string"),
        ({"tokens": ["a", 1234]}, "plugins.x.tokens[1]: expected a string"),
        ({"maybe_token": 1234}, "plugins.x.maybe_token: expected a string"),
    ],
)
def test_a_secret_is_never_shown(values, message):
    assert messages(values) == [message]


def test_a_wording_that_is_not_ours_is_pydantics():
    assert messages({"url": "x y"}) == [
        'plugins.x.url: found "x y" (string), expected a valid URL, relative URL without a base'
    ]


def test_all_keys_are_reported_in_one_go():
    assert len(messages({"pth": 1, "port": "a", "names": [1, 2]})) == 4


def test_without_a_model_an_unknown_key_gets_no_suggestion():
    with pytest.raises(ValidationError) as caught:
        Rule.model_validate({"pattern": "a", "staus": 1})
    problems = problems_from(caught.value, ("plugins", "x"), Source())
    assert [str(problem) for problem in problems] == ["plugins.x.staus: unknown key"]


def test_the_line_of_a_plugin_option_is_found():
    config = parse('[plugins.x]\ncategory = "rules"\npattern = "a"\nstatus = "b"\n', "conf.toml")
    with pytest.raises(ValidationError) as caught:
        Rule.model_validate(config.plugins["x"].options)
    problems = problems_from(caught.value, ("plugins", "x"), config.source, Rule)
    assert [str(problem) for problem in problems] == [
        'conf.toml:4: plugins.x.status: found "b" (string), expected an integer'
    ]
