"""Liquid by python-liquid, in a sandbox: no files, no clock, no HTML, bounded in every direction.

What a template can reach is what it is given: named members of `user`, `device`, `event`,
`message` and `app`. Partials come as texts from the template store. Errors are strict: an unknown
filter, tag or variable is found when the template is written, not when it is sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import ClassVar, Final, TextIO

from liquid import DictLoader, Environment, RenderContext, TokenStream
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.render_tag import RenderNode
from liquid.exceptions import LiquidError, TemplateNotFoundError
from liquid.template import BoundTemplate
from typing_extensions import override

from clarion.adapters.content import analysis, bounds
from clarion.adapters.content.filters import LANGUAGE_FILTERS, OWN, REMOVED, TIME_FILTERS
from clarion.domain.content import Json
from clarion.domain.merge import cleaned
from clarion.domain.template import Simple, pruned, text_of
from clarion.ports.rendering import (
    RenderingFailedError,
    Scope,
    TemplateFault,
    TemplateSyntaxError,
    VariableMissingError,
)

_FORBIDDEN_TAGS: Final = ("include", "tablerow", "liquid", "echo", "doc")
_NOT_IN_ADDRESSES: Final = ("render", "capture", "cycle", "ifchanged", "increment", "decrement")
"""Tags that print what no filter has encoded."""
_ENCODED: Final = frozenset({"url_encode", "url_component", "raw"})
_KEPT: Final = 1024


class _PlainOutput(OutputNode):
    """`{{ }}` that prints as `domain.template.text_of` says."""

    @override
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        text = str(value) if type(value) in bounds.ABSENT else text_of(value)
        return buffer.write(text)


class _Output(Output):
    node_class: type[OutputNode] = _PlainOutput


class _AddressOutput(Output):
    """`{{ }}` in a link: percent-encoded, unless it opens the link or says that it is encoded."""

    node_class: type[OutputNode] = _PlainOutput

    @override
    def parse(self, stream: TokenStream) -> OutputNode:
        node = super().parse(stream)
        expression = node.expression
        opens = node.token.start_index == 0
        if isinstance(expression, FilteredExpression) and not opens:
            chain = expression.filters or []
            if not chain or chain[-1].name not in _ENCODED:
                expression.filters = [*chain, Filter(node.token, "url_component", [])]
        return node


class _Bound(BoundTemplate):
    context_class: type[RenderContext] = bounds.Bounded


class _Partials(DictLoader):
    """Partials by name, each parsed once."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__(dict(texts))
        self._parsed: dict[str, BoundTemplate] = {}

    @override
    def load(
        self,
        env: Environment,
        name: str,
        *,
        globals: Mapping[str, object] | None = None,
        context: RenderContext | None = None,
        **options: object,
    ) -> BoundTemplate:
        """The parsed partial. Raises `TemplateNotFoundError` where there is none."""
        found = self._parsed.get(name)
        if found is None:
            found = super().load(env, name, globals=globals, context=context, **options)
            self._parsed[name] = found
        return found


class _Sandbox(Environment):
    """Liquid's bounds, set to what a notification can need."""

    template_class: type[BoundTemplate] = _Bound
    block_nesting_limit = bounds.MAX_DEPTH
    context_depth_limit = bounds.MAX_DEPTH
    loop_iteration_limit: ClassVar[int | None] = bounds.MAX_LOOPS
    local_namespace_limit: ClassVar[int | None] = bounds.MAX_NAMESPACE
    output_stream_limit: ClassVar[int | None] = bounds.MAX_OUTPUT


class _Lenient(_Sandbox):
    """The same where a missing variable prints nothing."""


class LiquidTemplate:
    """A compiled template (see `ports.rendering.Template`)."""

    def __init__(self, source: str, strict: BoundTemplate, lenient: BoundTemplate) -> None:
        found = strict.analyze()
        analysis.refuse_unknown_filters(found, strict.env.filters, source)
        self._strict, self._lenient = strict, lenient
        self.fields: Final = analysis.fields(found, source)
        self.simple: Final[Simple | None] = analysis.simple(strict)
        used = found.filters.keys()
        self.needs_language: Final = bool(used & LANGUAGE_FILTERS)
        reads_clock = bool(found.globals.keys() & analysis.PRESENT)
        self.needs_time: Final = reads_clock or bool(used & TIME_FILTERS)

    def render(self, values: Mapping[str, Json], scope: Scope) -> str:
        """The text for one person (see `ports.rendering.Template`)."""
        template = self._lenient if scope.lenient else self._strict
        data: dict[str, dict[str, Json]] = {root: {} for root in analysis.ROOTS}
        for name, value in values.items():
            if value is not None:
                root, _, member = name.partition(".")
                data[root][member] = pruned(value)
        context = bounds.Bounded(template, globals=bounds.namespace(data, scope))
        buffer = context.get_buffer()
        try:
            template.render_with_context(context, buffer)
        except VariableMissingError:
            raise
        except LiquidError as error:
            raise RenderingFailedError(_sentence(error)) from error
        # Templates are written by people: what an engine's filter stumbles over must not stop
        # the batch, so every other exception of it is this one recipient's failure.
        except Exception as error:
            raise RenderingFailedError(f"{type(error).__name__}: {error}") from error
        return cleaned(buffer.getvalue())


class LiquidEngine:
    """Compiles templates and keeps what it compiled (see `ports.rendering.TemplateEngine`)."""

    def compile(
        self, source: str, partials: Mapping[str, str], *, address: bool = False
    ) -> LiquidTemplate:
        """A template ready to render (see `ports.rendering.TemplateEngine`)."""
        return _compiled(source, tuple(sorted(partials.items())), address=address)

    def partials_of(self, source: str) -> Sequence[str]:
        """Names of the partials that a text renders directly."""
        environment = _environment((), address=False, lenient=False)
        with _faults():
            parsed = environment.from_string(_checked(source, None))
        context = RenderContext(parsed)
        return list(dict.fromkeys(_rendered(parsed.nodes, context)))


def _rendered(nodes: Sequence[Node], context: RenderContext) -> list[str]:
    found: list[str] = []
    for node in nodes:
        if isinstance(node, RenderNode):
            found.append(str(getattr(node.name, "value", node.name)))
        else:
            found += _rendered(list(node.children(context, include_partials=False)), context)
    return found


@lru_cache(maxsize=_KEPT)
def _compiled(
    source: str, partials: tuple[tuple[str, str], ...], *, address: bool
) -> LiquidTemplate:
    for name, text in partials:
        _checked(text, name)
    with _faults():
        strict, lenient = (
            _environment(partials, address=address, lenient=lenient).from_string(
                _checked(source, None)
            )
            for lenient in (False, True)
        )
        return LiquidTemplate(source, strict, lenient)


def _checked(source: str, partial: str | None) -> str:
    if len(source) > bounds.MAX_SOURCE:
        detail = f"A template has at most {bounds.MAX_SOURCE} characters."
        raise TemplateSyntaxError(TemplateFault(detail=detail, line=0, column=0, partial=partial))
    return cleaned(source)


@lru_cache(maxsize=_KEPT)
def _environment(
    partials: tuple[tuple[str, str], ...], *, address: bool, lenient: bool
) -> Environment:
    made = (_Lenient if lenient else _Sandbox)(
        loader=_Partials({name: cleaned(text) for name, text in partials}),
        undefined=bounds.Nothing if lenient else bounds.Missing,
    )
    for name in (*_FORBIDDEN_TAGS, *(_NOT_IN_ADDRESSES if address else ())):
        made.tags.pop(name, None)
    for name in REMOVED:
        made.filters.pop(name, None)
    made.add_tag(_AddressOutput if address else _Output)
    for name, function in OWN.items():
        made.add_filter(name, function)
    return made


@contextmanager
def _faults() -> Iterator[None]:
    """Engine errors as `TemplateSyntaxError`s with their place."""
    try:
        yield
    except LiquidError as error:
        line, column = _place(error)
        detail = _sentence(error)
        if isinstance(error, TemplateNotFoundError):
            detail = f"There is no partial {error.message}."
        name = str(error.template_name or "") or None
        fault = TemplateFault(detail=detail, line=line, column=column, partial=name)
        raise TemplateSyntaxError(fault) from error


def _place(error: LiquidError) -> tuple[int, int]:
    try:
        found = error.context()
    except ValueError:  # the engine's own index may lie behind the text's end
        found = None
    return (found[0], found[1] + 1) if found else (0, 0)


def _sentence(error: LiquidError) -> str:
    text = str(error.message or type(error).__name__)
    return text[:200]
