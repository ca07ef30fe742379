"""A message's content as a plan: texts that are the same for all, and columns that are not.

Every text of the content may be a template. A simple one stays in the payload with a marker for
each of its substitutions, so that a payload is built once and a name is one short column; a full
one becomes one column of whole texts.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from clarion.domain.content import Action, Content, Json, MissingVariable, Overflow, Wording
from clarion.domain.link_rules import is_settled, refusal
from clarion.domain.merge import cleaned, marker
from clarion.domain.template import Filter, Simple, Substitution
from clarion.ports.provider import PayloadProblem
from clarion.ports.rendering import (
    ContentRefusedError,
    Template,
    TemplateEngine,
    TemplateSyntaxError,
)
from clarion.stages.authoring.links import finisher

TEXTS: Final = ("title", "subtitle", "body", "sound", "thread")
ADDRESSES: Final = ("link", "image", "icon")
"""Fields in which what is printed is percent-encoded."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One merge column: a substitution, or a whole text that the engine renders."""

    source: Substitution | Template
    pointer: str
    """The field that it was first found in, as a JSON pointer."""
    finish: Callable[[str], str] | None = None
    """What is done to each distinct text afterwards."""
    place: int | None = None
    """Of a tracked link: 0 the message's, 1 and more a button's."""
    refusal: Callable[[str], str | None] | None = None
    """Why a text can't be an address (`domain.link_rules`); None: its beginning has told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentPlan:
    """Content with markers, and what each marker stands for."""

    content: Content
    pieces: tuple[Piece, ...]
    """Column k of the batch is `pieces[k]`."""
    fields: frozenset[str]
    """Variables of people that must be read: `user.first_name`."""
    missing: MissingVariable
    fallbacks: Mapping[str, str]
    constants: Mapping[str, Json]
    """`message.NAME` -> value, the same for everybody."""
    body: int | None
    """The column that may be shortened; None where the body may not."""
    reads: frozenset[str] = frozenset()
    """Every variable, those of the message too."""


def is_template(text: str) -> bool:
    """Whether a text has anything for the engine."""
    return "{{" in text or "{%" in text


def verbatim(text: str) -> str:
    """A template that prints the text, whatever the engine would make of it."""
    if not is_template(text):
        return text
    return _OPENING.sub(lambda found: '{{ "' + found[0] + '" }}', text)


def texts_of(content: Content) -> Iterator[tuple[str, str, bool]]:
    """(JSON pointer, text, whether it is an address) of every text that may be a template."""
    for name in (*TEXTS, *ADDRESSES):
        text = getattr(content, name)
        if text is not None:
            yield f"/{name}", text, name in ADDRESSES
    for at, action in enumerate(content.actions):
        yield f"/actions/{at}/title", action.title, False
        for name in ("icon", "link"):
            text = getattr(action, name)
            if text is not None:
                yield f"/actions/{at}/{name}", text, True
    yield from ((p, t, False) for p, t in _leaves(content.data, "/data"))
    for network, over in content.overrides.items():
        yield from ((p, t, False) for p, t in _leaves(over, f"/overrides/{network.name.lower()}"))


def _escaped(key: str) -> str:
    """A key in a JSON pointer (RFC 6901 section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _leaves(value: Json, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{pointer}/{_escaped(key)}")
    elif isinstance(value, Sequence):
        for at, inner in enumerate(value):
            yield from _leaves(inner, f"{pointer}/{at}")


def partials_needed(content: Content, engine: TemplateEngine) -> dict[str, str]:
    """Names of the partials that the content's texts render directly, and the first text's place.

    The store gives their texts; `engine.partials_of` of each gives the next ones.

    Raises:
        ContentRefusedError: A text is not a template.
    """
    names: dict[str, str] = {}
    problems = []
    for pointer, text, _ in texts_of(content):
        if is_template(text):
            try:
                names = dict.fromkeys(engine.partials_of(text), pointer) | names
            except TemplateSyntaxError as error:
                problems.append(_problem(pointer, error))
    if problems:
        raise ContentRefusedError(problems)
    return names


def _problem(pointer: str, error: TemplateSyntaxError) -> PayloadProblem:
    inside = f"In the partial {error.fault.partial}: " if error.fault.partial else ""
    return PayloadProblem(path=pointer, code="template_invalid", detail=f"{inside}{error}")


_OPENING: Final = re.compile(r"\{[{%]")
_RAW: Final = Filter("raw")


class _Compiler:
    """Collects the columns of one content while its texts are replaced."""

    def __init__(
        self,
        engine: TemplateEngine,
        partials: Mapping[str, str],
        wording: Wording,
        http_hosts: Collection[str],
    ) -> None:
        self._engine, self._partials, self._wording = engine, partials, wording
        self._http_hosts = http_hosts
        self.pieces: dict[tuple[object, ...], int] = {}
        self.columns: list[Piece] = []
        self.fields: set[str] = set()
        self.problems: list[PayloadProblem] = []
        self.body: int | None = None

    def text(self, text: str, pointer: str) -> str:
        """A plain text with markers."""
        if pointer == "/body" and self._wording.overflow is Overflow.TRUNCATE:
            # Shortened as a whole: even a body without a variable is a column then.
            template = self._template(text, pointer, address=False)
            if template is None:
                return ""
            self.body = self._column(template, pointer)
            return marker(self.body)
        if not self._is_template(text):
            return cleaned(text)
        template = self._template(text, pointer, address=False)
        return "" if template is None else self._marked(template, pointer)

    def address(self, text: str, pointer: str, place: int | None = None) -> str:
        """An address with markers; a link (`place`) with its parameters and its redirect."""
        wording = self._wording
        tracked = place is not None and wording.track_links
        finish = finisher(wording.utm) if place is not None and wording.utm is not None else None
        if not self._is_template(text) and not tracked:
            return finish(cleaned(text)) if finish is not None else cleaned(text)
        template = self._template(text, pointer, address=True)
        if template is None:
            return ""
        if finish is None and not tracked and _is_settled(template):
            return self._marked(template, pointer)
        judge = partial(refusal, http_hosts=self._http_hosts, picture=place is None)
        piece = Piece(template, pointer, finish, place if tracked else None, judge)
        key = (id(template), finish is not None, piece.place, place is None)
        return marker(self._add(key, piece))

    def free(self, value: Json, pointer: str) -> Json:
        """A JSON value with markers in its texts."""
        if isinstance(value, str):
            return self.text(value, pointer)
        if isinstance(value, Mapping):
            return self.members(value, pointer)
        if isinstance(value, Sequence):
            return [self.free(inner, f"{pointer}/{at}") for at, inner in enumerate(value)]
        return value

    def members(self, value: Mapping[str, Json], pointer: str) -> dict[str, Json]:
        """A JSON object with markers in its texts."""
        return {
            cleaned(key): self.free(inner, f"{pointer}/{_escaped(key)}")
            for key, inner in value.items()
        }

    def _is_template(self, text: str) -> bool:
        return self._wording.liquid and is_template(text)

    def _template(self, text: str, pointer: str, *, address: bool) -> Template | None:
        source = text if self._wording.liquid else verbatim(text)
        try:
            template = self._engine.compile(source, self._partials, address=address)
        except TemplateSyntaxError as error:
            self.problems.append(_problem(pointer, error))
            return None
        self.fields |= template.fields
        return template

    def _marked(self, template: Template, pointer: str) -> str:
        simple = template.simple
        if not isinstance(simple, Simple):
            return marker(self._column(template, pointer))
        return "".join(
            part if isinstance(part, str) else marker(self._add((part,), Piece(part, pointer)))
            for part in simple.parts
        )

    def _column(self, template: Template, pointer: str) -> int:
        return self._add((id(template),), Piece(template, pointer))

    def _add(self, key: tuple[object, ...], piece: Piece) -> int:
        if key not in self.pieces:
            self.pieces[key] = len(self.columns)
            self.columns.append(piece)
        return self.pieces[key]


def compile_content(
    content: Content,
    wording: Wording,
    engine: TemplateEngine,
    partials: Mapping[str, str],
    *,
    declared: bool = True,
    http_hosts: Collection[str] = (),
) -> ContentPlan:
    """The plan of a content in one language.

    Args:
        content: What is said, its texts templates.
        wording: Policies, fallbacks, links; `wording.localized` is not looked at (lay a variant
            over the content first: `domain.localisation.localized`).
        engine: Compiles.
        partials: Every partial that any text renders, directly or not.
        declared: The message's variables are given, and no other may be read.
        http_hosts: Where plain `http` may lead.

    Raises:
        ContentRefusedError: With a problem for each text that is not a template, or that reads a
            variable of the message that is not given.
    """
    compiler = _Compiler(engine, partials, wording, http_hosts)
    texts: dict[str, Any] = {
        name: compiler.text(getattr(content, name), f"/{name}")
        for name in TEXTS
        if getattr(content, name) is not None
    }
    texts |= {
        name: compiler.address(getattr(content, name), f"/{name}", 0 if name == "link" else None)
        for name in ADDRESSES
        if getattr(content, name) is not None
    }
    actions = tuple(_action(a, at, compiler) for at, a in enumerate(content.actions))
    data = compiler.members(content.data, "/data")
    overrides = {
        network: compiler.members(over, f"/overrides/{network.name.lower()}")
        for network, over in content.overrides.items()
    }
    constants = {f"message.{name}": value for name, value in wording.variables.items()}
    problems = [*compiler.problems, *(_undeclared(compiler, constants) if declared else ())]
    if problems:
        raise ContentRefusedError(problems)
    return ContentPlan(
        content=replace(content, **texts, actions=actions, data=data, overrides=overrides),
        pieces=tuple(compiler.columns),
        fields=frozenset(name for name in compiler.fields if not name.startswith("message.")),
        missing=wording.missing,
        fallbacks=wording.fallbacks,
        constants=constants,
        body=compiler.body,
        reads=frozenset(compiler.fields),
    )


def _is_settled(template: Template) -> bool:
    """Whether no value can make it lead where nobody may be led.

    What begins well is followed by percent-encoded values only.
    """
    simple = template.simple
    start = simple.parts[0] if simple is not None and simple.parts else None
    if simple is None or not isinstance(start, str) or not is_settled(start):
        return False
    return not any(what.filters[-1:] == (_RAW,) for what in simple.substitutions)


def _action(action: Action, at: int, compiler: _Compiler) -> Action:
    pointer = f"/actions/{at}"
    icon, link = action.icon, action.link
    return Action(
        id=cleaned(action.id),
        title=compiler.text(action.title, f"{pointer}/title"),
        icon=None if icon is None else compiler.address(icon, f"{pointer}/icon"),
        link=None if link is None else compiler.address(link, f"{pointer}/link", at + 1),
    )


def _undeclared(compiler: _Compiler, constants: Mapping[str, Json]) -> Iterator[PayloadProblem]:
    for name in sorted(compiler.fields):
        if name.startswith("message.") and name not in constants:
            member = name.partition(".")[2]
            yield PayloadProblem(
                path=f"/variables/{member}",
                code="field_missing",
                detail=f"A template reads `{name}`, and the message's variables have none.",
            )
