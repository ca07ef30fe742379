"""What a parsed template reads, and whether columns can render it without the engine."""

from collections.abc import Container, Iterator
from typing import Final

from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.arguments import KeywordArgument, PositionalArgument
from liquid.builtin.expressions.filtered import Filter as LiquidFilter
from liquid.builtin.expressions.primitive import (
    FalseLiteral,
    FloatLiteral,
    IntegerLiteral,
    Nil,
    StringLiteral,
    TrueLiteral,
)
from liquid.builtin.output import OutputNode
from liquid.expression import Expression
from liquid.span import Span
from liquid.static_analysis import TemplateAnalysis
from liquid.template import BoundTemplate

from clarion.domain.template import ARGUMENTS, Filter, Simple, Substitution, text_of
from clarion.ports.rendering import TemplateFault, TemplateSyntaxError

ROOTS: Final = ("user", "device", "event", "message", "app")
"""Where variables come from; a template reads a named member of one of them."""
PRESENT: Final = frozenset({"now", "today"})
_PROPERTIES: Final = frozenset({"size", "first", "last"})


def fields(found: TemplateAnalysis, source: str) -> frozenset[str]:
    """The variables that come from outside, as root and name.

    Raises:
        TemplateSyntaxError: A variable is nobody's, or can't be told before it is rendered.
    """
    named = set()
    for root, variables in found.globals.items():
        for variable in variables:
            if root in PRESENT:
                continue
            segments = variable.segments
            if root not in ROOTS:
                roots = ", ".join(f"`{name}.`" for name in ROOTS)
                detail = f"`{variable}` is unknown: a variable begins with one of {roots}."
                raise _fault(detail, variable.span, source)
            if len(segments) == 1 or not isinstance(segments[1], str):
                detail = f"Name what of `{root}` is meant, such as `{root}.name`."
                raise _fault(detail, variable.span, source)
            named.add(f"{root}.{segments[1]}")
    return frozenset(named)


def refuse_unknown_filters(found: TemplateAnalysis, known: Container[str], source: str) -> None:
    """Raise `TemplateSyntaxError` for a filter that there is not."""
    for name, spans in found.filters.items():
        if name not in known:
            raise _fault(f"There is no filter `{name}`.", spans[0], source)


def _fault(detail: str, span: Span, source: str) -> TemplateSyntaxError:
    line = column = 0
    if not span.template_name and 0 <= span.index < len(source):  # not in a partial
        line, column = span.line_col(source)
        column += 1
    partial = span.template_name or None
    return TemplateSyntaxError(
        TemplateFault(detail=detail, line=line, column=column, partial=partial)
    )


def simple(template: BoundTemplate) -> Simple | None:
    """The template for the columnar path, or None where it is more than substitutions."""
    parts = list(_parts(template.nodes))
    known = [part for part in parts if part is not None]
    return Simple(tuple(known)) if len(known) == len(parts) else None


def _parts(nodes: list[Node]) -> Iterator[str | Substitution | None]:
    for node in nodes:
        if isinstance(node, ContentNode):
            yield node.text
        elif isinstance(node, OutputNode):
            yield _substitution(node.expression)
        else:
            yield None


def _substitution(expression: Expression) -> Substitution | None:
    if not isinstance(expression, FilteredExpression) or not isinstance(expression.left, Path):
        return None
    path = expression.left.path
    if len(path) != 2 or path[0] not in ROOTS:  # noqa: PLR2004  a root and a name
        return None
    name = path[1]
    if not isinstance(name, str) or name in _PROPERTIES:
        return None
    rest = list(expression.filters or [])
    default: str | None = None
    keeps_false = False
    if rest and rest[0].name == "default":
        found = _default(rest.pop(0))
        if found is None:
            return None
        default, keeps_false = found
    filters = [_filter(each) for each in rest]
    known = tuple(each for each in filters if each is not None)
    if len(known) != len(filters):
        return None
    return Substitution(f"{path[0]}.{name}", default, keeps_false, known)


def _literal(expression: Expression) -> tuple[str] | None:
    """What a literal prints, in a tuple; None where it is not a literal."""
    if isinstance(expression, StringLiteral | IntegerLiteral | FloatLiteral):
        return (text_of(expression.value),)
    if isinstance(expression, TrueLiteral | FalseLiteral):
        return (text_of(isinstance(expression, TrueLiteral)),)
    return ("",) if isinstance(expression, Nil) else None


def _default(what: LiquidFilter) -> tuple[str, bool] | None:
    value: tuple[str] | None = ("",)
    keeps_false = False
    for argument in what.args:
        if isinstance(argument, PositionalArgument):
            value = _literal(argument.value)
        elif argument.name == "allow_false" and isinstance(argument.value, TrueLiteral):
            keeps_false = True
        else:
            return None
    return None if value is None else (value[0], keeps_false)


def _filter(what: LiquidFilter) -> Filter | None:
    values = [
        argument.value.value
        for argument in what.args
        if not isinstance(argument, KeywordArgument) and isinstance(argument.value, StringLiteral)
    ]
    if len(values) != len(what.args) or ARGUMENTS.get(what.name) != len(values):
        return None
    if what.name in {"replace", "remove"} and not values[0]:  # between all characters
        return None
    return Filter(what.name, tuple(values))
