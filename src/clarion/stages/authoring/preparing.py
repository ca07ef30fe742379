"""One message's words for many people: variants, columns, cuts, and how large it all becomes.

What planning sees of templates: see `ports.rendering.ContentRenderer`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from clarion.domain.content import Content, Message, MissingVariable, Wording
from clarion.domain.graphemes import Clusters
from clarion.domain.handoffs import UInt16s, merge_column
from clarion.domain.ids import MessageId
from clarion.domain.localisation import choose, localized, parse
from clarion.domain.network import Network
from clarion.domain.recent import Recent
from clarion.domain.zone_rows import encoded
from clarion.ports.provider import Outline, PayloadProblem, Provider
from clarion.ports.rendering import (
    ContentRefusedError,
    Moment,
    NetworkSizes,
    RenderedContent,
    TemplateEngine,
)
from clarion.stages.authoring.compiling import ContentPlan, compile_content
from clarion.stages.authoring.reading import column_of, scan_field
from clarion.stages.authoring.rendering import People, Tracking, render_columns
from clarion.stages.authoring.sizing import MergeOctets, shortened

_HELD: Final = 64
"""Messages whose compiled words are held: as many as are planned at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """How links are tracked: the public address of the API, and keys by their id."""

    base: str
    keys: Mapping[int, bytes] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What words are made with."""

    engine: TemplateEngine
    clusters: Clusters
    providers: Mapping[Network, Provider]
    links: Links | None = None
    """None: no public address is set, so links can't be tracked."""
    http_hosts: frozenset[str] = frozenset()
    """Hosts to which links may lead, and from which pictures may come, over plain HTTP."""


class Renderer:
    """Implements `ports.rendering.ContentRenderer`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._held: Recent[MessageId, Prepared] = Recent(_HELD)

    def prepare(self, message: Message) -> "Prepared | None":
        """See the port."""
        if message.wording is None:
            return None
        held = self._held.known(message.id)
        if held is None or held.message != message:
            held = prepare(message, message.wording, self._tools)
            self._held.learn(message.id, held)
        return held


def prepare(message: Message, wording: Wording, tools: Tools) -> "Prepared":
    """The message's words; nothing is held.

    Raises:
        ContentRefusedError: A text is not a template, reads what nobody has, or links are to be
            tracked and there is no public address.
    """
    if wording.track_links and tools.links is None:
        raise ContentRefusedError([_no_address()])
    plans = compiled(message.content, wording, tools.engine, http_hosts=tools.http_hosts)
    return Prepared(message, wording, plans, tools)


def compiled(
    content: Content,
    wording: Wording,
    engine: TemplateEngine,
    *,
    declared: bool = True,
    http_hosts: Collection[str] = (),
) -> list[ContentPlan]:
    """The plan of each variant, the message's own first.

    Args:
        content: The message's own.
        wording: With every partial.
        engine: Compiles.
        declared: See `compile_content`.
        http_hosts: See `compile_content`.

    Raises:
        ContentRefusedError: A text is not a template, or reads what nobody has.
    """
    plans: list[ContentPlan] = []
    problems: list[PayloadProblem] = []
    for tag, variant in contents_of(content, wording):
        try:
            plans.append(
                compile_content(
                    variant,
                    wording,
                    engine,
                    wording.partials,
                    declared=declared,
                    http_hosts=http_hosts,
                )
            )
        except ContentRefusedError as error:
            known = {(p.path, p.detail) for p in problems}
            where = f"/localized/{tag}" if tag is not None else ""
            problems += [
                PayloadProblem(path=where + p.path, code=p.code, detail=p.detail)
                for p in error.problems
                if (p.path, p.detail) not in known
            ]
    names = frozenset().union(*(plan.fields for plan in plans))
    problems += [
        PayloadProblem(
            path="",
            code="field_unknown",
            detail=f"A template reads `{name}`, and nobody has that in this message.",
        )
        for name in sorted(names)
        if scan_field(name) is None
    ]
    if problems:
        raise ContentRefusedError(problems)
    return plans


def contents_of(content: Content, wording: Wording) -> list[tuple[str | None, Content]]:
    """(language, content) of each variant; None for the message's own."""
    laid = ((tag, localized(content, over)) for tag, over in wording.localized.items())
    return [(None, content), *laid]


def _no_address() -> PayloadProblem:
    return PayloadProblem(
        path="/track_links",
        code="combination_invalid",
        detail="Links are tracked over the server's public address, and none is set.",
    )


class Prepared:
    """Implements `ports.rendering.PreparedContent`."""

    def __init__(
        self, message: Message, wording: Wording, plans: Sequence[ContentPlan], tools: Tools
    ) -> None:
        self.message: Final = message
        self.plans: Final = plans
        self._tools = tools
        self._variables = sorted(frozenset().union(*(plan.fields for plan in plans)))
        self._tracking: Tracking | None = None
        if wording.track_links and tools.links is not None:
            links = tools.links
            self._tracking = Tracking(
                base=links.base, keys=links.keys, app=message.app, message=message.id
            )
        self.refuses_missing: Final = wording.missing is MissingVariable.FAIL
        self.languages: Final[Sequence[str]] = [wording.language, *wording.localized]
        self.variants: Final[Sequence[Message]] = [
            replace(message, content=plan.content, wording=None) for plan in plans
        ]
        self.fields: Final = tuple(
            dict.fromkeys(name for v in self._variables if (name := scan_field(v)) is not None)
        )

    def render(self, rows: pl.DataFrame, moment: Moment) -> RenderedContent:
        """See the port."""
        names, language = _coded(rows)
        among = list(self.languages)
        own = among[0]
        chosen = [among.index(choose(name, among) or own) for name in names]
        variant: UInt16s = np.asarray(chosen, np.uint16)[language]
        written = [_written(name, among[at]) for name, at in zip(names, chosen, strict=True)]
        people = People(
            device=rows["device"].to_numpy(),
            columns={name: column_of(rows, name) for name in self._variables},
            language=language,
            languages=written,
            zone=np.minimum(moment.zone, len(moment.zones)),
            zones=[*moment.zones, "UTC"],
            now=moment.now,
        )
        done = render_columns(self.plans, variant, people, self._tracking)
        merge = self._cut(done.merge, rows["network"].to_numpy(), variant, moment.now)
        return RenderedContent(
            rows=rows.with_columns(
                pl.Series("message", variant),
                *(texts.alias(merge_column(at)) for at, texts in enumerate(merge)),
            ),
            missing=done.missing,
            failed=done.failed,
            missing_by=done.missing_by,
            failures=done.failures,
        )

    def sizes(self, rendered: RenderedContent, now: datetime) -> Mapping[Network, NetworkSizes]:
        """See the port."""
        rows = rendered.rows
        merge = MergeOctets([rows[merge_column(at)] for at in range(self._width)])
        network, variant = rows["network"].to_numpy(), rows["message"].to_numpy()
        found: dict[Network, NetworkSizes] = {}
        for code in np.unique(network).tolist():
            if Network(code) not in self._tools.providers:
                continue
            octets, limit = np.zeros(len(rows), np.int64), 0
            for at in np.unique(variant[network == code]).tolist():
                mine = np.flatnonzero((network == code) & (variant == at))
                outline = self._outline(Network(code), at, now)
                octets[mine] = merge.sizes(outline.payloads, mine)
                limit = outline.limit
            found[Network(code)] = NetworkSizes(
                limit=limit,
                octets=octets,
                longest=int(octets.max(initial=0)),
                over=int(np.count_nonzero(octets > limit)),
            )
        return found

    @property
    def _width(self) -> int:
        return max(len(plan.pieces) for plan in self.plans)

    def _outline(self, network: Network, variant: int, now: datetime) -> Outline:
        return self._tools.providers[network].outline(self.variants[variant], now)

    def _cut(
        self, merge: list[pl.Series], network: np.ndarray, variant: UInt16s, now: datetime
    ) -> list[pl.Series]:
        """The columns with bodies cut wherever a payload would be too long and may be cut."""
        if all(plan.body is None for plan in self.plans):
            return merge
        columns = self._cut_texts([column.to_list() for column in merge], network, variant, now)
        return [pl.Series(texts, dtype=pl.String) for texts in columns]

    def _cut_texts(
        self, merge: list[list[str]], network: np.ndarray, variant: UInt16s, now: datetime
    ) -> list[list[str]]:
        for at, plan in enumerate(self.plans):
            if plan.body is None:
                continue
            for code in np.unique(network[variant == at]).tolist():
                if code not in self._tools.providers:
                    continue
                mine = np.flatnonzero((network == code) & (variant == at))
                outline = self._outline(Network(code), at, now)
                part = [[column[row] for row in mine.tolist()] for column in merge]
                bodies = shortened(
                    outline.payloads, part, outline.limit, plan.body, self._tools.clusters
                )
                for row, text in zip(mine.tolist(), bodies, strict=True):
                    merge[plan.body][row] = text
        return merge


def _coded(rows: pl.DataFrame) -> tuple[list[str | None], UInt16s]:
    """The languages that there are, and each row's place among them."""
    if "language" not in rows.columns:
        return [None], np.zeros(len(rows), np.uint16)
    names, codes = encoded(rows["language"])
    return [*names, None], codes.astype(np.uint16)


def _written(person: str | None, variant: str) -> str:
    """The language by which numbers and dates are written in a text of a variant.

    The person's own where it is a form of the variant's language (`de-CH` in a German text), else
    the variant's: nobody writes French numbers into an English sentence.
    """
    mine = parse(person) if person is not None else None
    of_text = parse(variant)
    if of_text is None:
        return "en" if mine is None else mine.text
    if mine is not None and mine.language == of_text.language:
        same = mine.likely_script == of_text.likely_script
        return mine.text if same else of_text.text
    return of_text.text
