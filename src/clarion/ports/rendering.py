"""What content needs from the world: a template engine, forms of a locale, edges of graphemes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.content import Json, Message
from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.network import Network
from clarion.domain.template import Simple
from clarion.ports.provider import PayloadProblem

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """In whose language and zone, and when, something is rendered."""

    language: str
    """BCP 47 tag; an unknown one is written like its nearest known relative, at last English."""
    zone: str
    """IANA time zone; an unknown one is UTC."""
    now: datetime
    lenient: bool = False
    """A missing variable prints nothing, instead of raising `VariableMissingError`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateFault:
    """What is wrong with a template, and where."""

    detail: str
    line: int
    """From 1; 0 where the fault has no place."""
    column: int
    """From 1; 0 where the fault has no place."""
    partial: str | None = None
    """The partial that it is in, or None for the template itself."""


class TemplateSyntaxError(Exception):
    """A template can't be used as it is written."""

    def __init__(self, fault: TemplateFault) -> None:
        place = f"line {fault.line}, column {fault.column}: " if fault.line else ""
        super().__init__(f"{place}{fault.detail}")
        self.fault = fault


class VariableMissingError(Exception):
    """A template prints a variable that this person does not have."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"`{variable}` is missing")
        self.variable = variable


class RenderingFailedError(Exception):
    """A template fails for these values: a filter refuses them, or a limit is reached."""


class ContentRefusedError(Exception):
    """A message's words can't be used; `problems` says which and why."""

    def __init__(self, problems: Sequence[PayloadProblem]) -> None:
        super().__init__("; ".join(f"{p.path}: {p.detail}" for p in problems))
        self.problems = problems


class Template(Protocol):
    """A compiled template. Safe to use from several threads at once."""

    @property
    def fields(self) -> frozenset[str]:
        """The variables it reads, as root and name: `user.first_name`, `message.code`."""
        ...

    @property
    def simple(self) -> Simple | None:
        """The same template for the columnar path, or None where only the engine can render it."""
        ...

    @property
    def needs_language(self) -> bool:
        """Whether the text depends on the scope's language."""
        ...

    @property
    def needs_time(self) -> bool:
        """Whether the text depends on the scope's zone or its `now`."""
        ...

    def render(self, values: Mapping[str, Json], scope: Scope) -> str:
        """The text for one person.

        Args:
            values: Variable (root and name, as in `fields`) -> value; None or absent: missing.
            scope: Whose language and zone.

        Raises:
            VariableMissingError: It prints a variable that is missing.
            RenderingFailedError: A filter refuses the values, or a limit is reached.
        """
        ...


class TemplateEngine(Protocol):
    """Compiles templates. Compiled ones are kept."""

    def compile(
        self, source: str, partials: Mapping[str, str], *, address: bool = False
    ) -> Template:
        """A template ready to render.

        Args:
            source: The template's text.
            partials: Name -> text of each partial that it, or a partial of it, renders.
            address: It is a link: what is printed is percent-encoded, unless it opens
                the link or ends with `url_encode`, `url_component` or `raw`.

        Raises:
            TemplateSyntaxError: It is not a template, or does what is not allowed here.
        """
        ...

    def partials_of(self, source: str) -> Sequence[str]:
        """Names of the partials that a text renders directly.

        Raises:
            TemplateSyntaxError: It is not a template.
        """
        ...


class Graphemes(Protocol):
    """Where text may be cut."""

    def __call__(self, text: str) -> Sequence[str]:
        """The extended grapheme clusters of a text (UAX 29); joined they are the text."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When and where rows are rendered."""

    now: datetime
    """The instant of the decision: what `now` is in a template."""
    zone: UInt16s
    """Per row, an index into `zones`; one past the end (65535 too) is UTC."""
    zones: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedContent:
    """What each of n rows reads, and who can't be sent to."""

    rows: pl.DataFrame
    """The rows that came in with a column `message` (UInt16, an index into `PreparedContent.
    variants`) and the columns `merge_0`, `merge_1`, ... (`domain.handoffs.merge_column`)."""
    missing: Bools
    """A variable that is printed is missing, under the policy `fail` or `skip`."""
    failed: Bools
    """A template failed for these values."""
    missing_by: Mapping[str, int]
    """Variable -> rows for which it is missing."""
    failures: Mapping[str, int]
    """Sentence -> rows for which a template failed so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSizes:
    """Payload sizes on one network."""

    limit: int
    """Octets that the network takes."""
    octets: Int64s
    """Per rendered row; 0 where the row belongs to another network."""
    longest: int
    """Octets of the longest."""
    over: int
    """Rows above the limit."""


class PreparedContent(Protocol):
    """One message's words, compiled."""

    @property
    def fields(self) -> tuple[str, ...]:
        """What must be read of people, as `AudienceScan.fields` names it: `tag.first_name`."""
        ...

    @property
    def variants(self) -> Sequence[Message]:
        """The message in each of its languages, its own first, with merge markers in the texts."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """The tag of each variant; empty where the message does not say its own."""
        ...

    @property
    def refuses_missing(self) -> bool:
        """The policy is `fail`: whoever misses a variable ends the message for everybody."""
        ...

    def render(self, rows: pl.DataFrame, moment: Moment) -> RenderedContent:
        """What some rows read.

        Args:
            rows: Of the audience: `device`, `network`, `language`, and a column for each of
                `fields` (JSON text; a column that is not there is missing for everybody).
            moment: When, and in which zones; n rows.
        """
        ...

    def sizes(self, rendered: RenderedContent, now: datetime) -> Mapping[Network, NetworkSizes]:
        """How large the rows' payloads are, on each network that any of them belongs to."""
        ...


class ContentRenderer(Protocol):
    """Makes words out of messages; holds what it compiled."""

    def prepare(self, message: Message) -> PreparedContent | None:
        """The message's words; None: everybody reads `message.content` as it is.

        Raises:
            ContentRefusedError: A text is not a template (any more).
        """
        ...
