"""Replace texts, and matches of regular expressions, in the bodies of responses."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Annotated, Final

from pingap_content.decoders import DECODABLE, Limits
from pingap_content.heads import become_other, is_coded, weaken_etag_of_304
from pingap_content.media_types import MediaTypes, check_type
from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import (
    AsyncBodyFilter,
    BodyFilter,
    ByteSize,
    ContextKey,
    Counter,
    Plugin,
    PluginSettings,
    Regex,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)
from pingap_rewrite.body import Substituting, SubstitutingAnywhere, Work
from pingap_rewrite.charsets import (
    CharsetError,
    charset_of,
    find_codec,
    takes_expressions,
)
from pingap_rewrite.stages import RegexStage, Stage, TextStage
from pingap_rewrite.statuses import Statuses
from pingap_rewrite.substitutions import RegexRule, Rule, TextRule, parse_rule

log = logging.getLogger("pingap")

TEXT_TYPES: Final = (
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/*+xml",
    "image/svg+xml",
)
"""Media types of text."""
_MARKUP: Final = MediaTypes(
    ("text/html", "text/xml", "application/xml", "application/*+xml", "image/svg+xml")
)
_BY_LINE: Final = MediaTypes(("text/event-stream", "application/x-ndjson"))
_NEVER: Final = frozenset((101, 204, 205, 206, 304, 416))
"""Statuses of responses without content, and of parts, in which nothing can be found."""
_HELD: Final = 256 * 1024
"""Bytes of a whole body that wait with the head, so that an error page may take its place."""
MOST_TOLD: Final = 64
"""Reasons that an instance logs."""
_LEAST_WINDOW: Final = 1024
_MOST_WINDOW: Final = 16 * 1024 * 1024


def _check_entry(text: str) -> str:
    parse_rule(text)
    return text


def _check_window(size: int) -> int:
    if not _LEAST_WINDOW <= size <= _MOST_WINDOW:
        raise ValueError(f"found {size}, expected 1KiB to 16MiB")
    return size


def _check_charset(name: str) -> str:
    try:
        find_codec(name)
    except CharsetError as error:
        raise ValueError(f"{error} cannot be used: expected one in which ASCII is itself") from None
    return name


def _check_name(name: str) -> str:
    field(name, "")
    return name


class CodingError(Exception):
    """A body has a content coding that cannot be taken away."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done with the body of a response."""

    response: Response
    coding: str
    stages: list[Stage]
    work: Work = dataclass_field(default_factory=Work)


class SubFilter(Plugin):
    """Replaces texts, and matches of regular expressions, in the bodies of responses."""

    category = "sub_filter"
    contract = "1.1"
    body = "rewrites"
    before = ("compression",)

    class Settings(PluginSettings):
        """Settings of ``sub_filter``."""

        filters: list[Annotated[str, AfterValidator(_check_entry)]] = SettingsField(default=[])
        """Rules, in order: `sub_filter 'TEXT' 'REPLACEMENT' [flags]` or `subs_filter 'REGEX' 'REPLACEMENT' [flags]`.
        The flag `g` replaces all occurrences instead of the first, `i` ignores case."""
        path: Regex | None = None
        """Only responses to requests whose path matches are changed."""
        status_codes: str = ""
        """Only responses with these statuses are changed, separated by commas: `200, 404`, `5xx`."""
        types: list[Annotated[str, AfterValidator(check_type)]] = SettingsField(
            default=list(TEXT_TYPES)
        )
        """Media types that are changed; `*` stands for anything in the second half, `*/*` for all."""
        charset: Annotated[str, AfterValidator(_check_charset)] = "utf-8"
        """The character set of responses whose `Content-Type` has none."""
        headers: list[Annotated[str, AfterValidator(_check_name)]] = SettingsField(default=[])
        """Header fields of responses in which the rules are applied as well, such as `Location`."""
        window: Annotated[ByteSize, AfterValidator(_check_window)] = 64 * 1024
        """Characters that a regular expression sees at once; a match may have half as many."""
        max_decompression_ratio: Annotated[int, SettingsField(ge=1)] = 100
        """How many times its size may come out of a compressed body; 1 MiB always may."""

    def __init__(self, settings: Settings) -> None:
        self._rules: list[Rule] = [parse_rule(one) for one in settings.filters]
        self._has_expressions = any(isinstance(one, RegexRule) for one in self._rules)
        self._path = settings.path
        self._statuses = Statuses(settings.status_codes)
        self._types = MediaTypes(settings.types)
        self._charset = settings.charset
        self._headers = settings.headers
        self._window = settings.window
        self._limits = Limits(size=0, ratio=settings.max_decompression_ratio)
        if self._headers:
            self._check_header_texts()
        self._plan = ContextKey[_Plan | None]("substitutions of a response", None)
        self._told: set[str] = set()
        self.replaced = Counter("pingap_sub_filter_replaced", "Occurrences that were replaced")
        self.skipped = Counter(
            "pingap_sub_filter_skipped", "Responses that could not be searched", ("reason",)
        )

    def _check_header_texts(self) -> None:
        for rule in self._rules:
            text = (
                rule.replacement
                if isinstance(rule, TextRule)
                else rule.template.expand(lambda _: "")
            )
            try:
                field("Location", text)
            except ValueError:
                raise ValueError(
                    f"headers: the replacement {text[:60]!r} is invalid in a header"
                ) from None

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Yield what has no effect."""
        if not self._rules:
            yield (
                "filters",
                "there are no rules, so nothing is replaced",
                "add one, or remove the plugin",
            )

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Decide what is done with the body, and change the head."""
        if ctx.error is None:  # else the plan tells why there is an error page
            ctx[self._plan] = None
        status = response.status
        if not self._rules or status not in self._statuses:
            return
        if self._path is not None and self._path.search(request.path) is None:
            return
        for name in self._headers:
            self._change_header(response, name)
        kind = response.headers.get("content-type")
        if status == 304 and (kind is None or kind in self._types):
            weaken_etag_of_304(response.headers, request.header("if-none-match"))
        if ctx.error is not None or status in _NEVER or not self._takes(kind):
            return
        try:
            plan = self._planned(response, kind)
        except (CodingError, CharsetError) as error:
            self.skipped.labels("coding" if isinstance(error, CodingError) else "charset").inc()
            self._tell(str(error), ctx)
            return
        become_other(response.headers)
        ctx[self._plan] = plan

    def _planned(self, response: Response, kind: str | None) -> _Plan:
        """Return what is to be done with a body.

        :raises CodingError: it has an unknown content coding, or several.
        :raises CharsetError: it cannot be searched, or not be written.
        """
        coding = response.headers.get("content-encoding", "").strip().lower()
        if is_coded(response.headers) and coding not in DECODABLE:
            raise CodingError(f"content coding {coding[:40]!r}")
        codec = find_codec(charset_of(kind, self._charset))
        if self._has_expressions and not takes_expressions(codec):
            raise CharsetError(f"{codec}, in which no expression can be searched")
        return _Plan(response, DECODABLE.get(coding, ""), self._stages(codec, kind))

    def _tell(self, reason: str, ctx: RequestContext) -> None:
        """Log why a response is not searched, once for each reason."""
        if reason not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(reason)
            path = ctx.original.target.partition("?")[0][:200]
            log.warning(
                "location %s: the response to %s is not searched, and neither are others like it: %s",
                ctx.location,
                path,
                reason,
            )

    def _takes(self, content_type: str | None) -> bool:
        return (content_type or "application/octet-stream") in self._types

    def _change_header(self, response: Response, name: str) -> None:
        values = response.headers.get_all(name)
        changed = list(values)
        for rule in self._rules:
            changed = [rule.apply(value) for value in changed]
        if changed != list(values):
            response.headers.remove(name)
            for value in changed:
                response.headers.add(name, value)

    def _stages(self, codec: str, kind: str | None) -> list[Stage]:
        """Return what applies the rules to a body.

        :param kind: its media type.
        :raises CharsetError: its character set lacks characters of a replacement.
        """
        markup, by_line = kind in _MARKUP, kind in _BY_LINE
        return [
            TextStage(rule, codec, markup=markup)
            if isinstance(rule, TextRule)
            else RegexStage(rule, codec, window=self._window, by_line=by_line, markup=markup)
            for rule in self._rules
        ]

    @hookimpl
    def response_body(
        self, response: Response, ctx: RequestContext
    ) -> BodyFilter | AsyncBodyFilter | None:
        """Do what was decided."""
        plan = ctx[self._plan]
        if plan is None or plan.response is not response:
            return None
        inner = Substituting(plan.stages, plan.coding, self._limits, plan.work)
        length = response.content_length
        is_whole = isinstance(response.body, bytes) and len(response.body) == length
        inner.hold_head = _HELD if is_whole else 0
        if not plan.coding and not self._has_expressions:
            return inner
        anywhere = SubstitutingAnywhere(inner, coded=bool(plan.coding))
        if is_whole and not anywhere.needs_thread("feed", length or 0):
            return inner
        return anywhere

    @hookimpl
    def logging(self, request: Request, ctx: RequestContext) -> None:
        """Count what was done."""
        plan = ctx[self._plan]
        if plan is None:
            return
        self.replaced.inc(plan.work.replaced)
        if plan.work.failure:
            self.skipped.labels("broken").inc()
            log.warning(
                "location %s: the response to %s cannot be changed: %s",
                ctx.location,
                ctx.original.target.partition("?")[0][:200],
                plan.work.failure,
            )
