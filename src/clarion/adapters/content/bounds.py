"""What a template may cost: every look-up, filter call and partial counts against one budget.

python-liquid bounds loops, output, depth and the size of what is assigned. Partials that render
partials twice each, ranges of a billion, `replace` with a long text and numbers multiplied by
themselves get past those bounds; this context stops them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from io import StringIO
from typing import Final, TextIO

from liquid import RenderContext, Undefined
from liquid.exceptions import ResourceLimitError, UnknownFilterError
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate
from liquid.token import Token
from liquid.undefined import UNDEFINED
from typing_extensions import override

from clarion.domain.template import text_of
from clarion.ports.rendering import Scope, VariableMissingError

MAX_SOURCE: Final = 16_384
"""Characters of a template or a partial; no payload holds more."""
MAX_STEPS: Final = 20_000
MAX_LOOPS: Final = 1_000
MAX_OUTPUT: Final = 16_384
"""Octets; four times what any network takes."""
MAX_TEXT: Final = 65_536
"""Characters of what a filter gives."""
MAX_NAMESPACE: Final = 262_144
MAX_DEPTH: Final = 12
_MAX_BITS: Final = 256

SCOPE: Final = "\x00scope"
"""The global under which filters find the scope; no template can name it."""
BUDGET: Final = "\x00budget"

TEXT_FILTERS: Final = frozenset(
    {
        "append", "base64_decode", "base64_encode", "base64_url_safe_decode",
        "base64_url_safe_encode", "capitalize", "downcase", "escape", "isolate", "lstrip",
        "prepend", "raw", "remove", "remove_first", "remove_last", "replace", "replace_first",
        "replace_last", "rstrip", "split", "squish", "strip", "strip_html", "strip_newlines",
        "truncate", "truncatewords", "upcase", "url_component", "url_decode", "url_encode",
    }
)  # fmt: skip
"""Filters of text: whatever comes in is text first, written as it would be printed."""


class Missing(Undefined):
    """A variable that the person does not have: false in a condition, empty in a loop.

    Printing it, or giving it to a filter other than `default`, raises.
    """

    __slots__ = ()
    force_liquid_default = True

    @property
    def path(self) -> str:
        """The variable as the template writes it."""
        return (self.hint or self.name).removesuffix(" is undefined").strip("'")

    @override
    def __str__(self) -> str:
        raise VariableMissingError(self.path)

    def __bool__(self) -> bool:
        return False


class Nothing(Missing):
    """The same where the policy prints nothing instead."""

    __slots__ = ()

    @override
    def __str__(self) -> str:
        return ""


ABSENT: Final = frozenset({Missing, Nothing})
"""Compared by identity: the engine's class of undefined values makes `isinstance` slow."""


def _refuse_growth(name: str, left: object, args: tuple[object, ...]) -> None:
    """Stop before a filter makes something huge."""
    if isinstance(left, range) and left.stop - left.start > MAX_LOOPS:
        raise ResourceLimitError("the range is too long", token=None)
    texts = [len(arg) for arg in args if isinstance(arg, str)]
    if name == "replace" and isinstance(left, str) and texts:
        needle = str(args[0])
        grown = left.count(needle) * max(texts)
    elif name == "join" and isinstance(left, list | tuple) and texts:
        grown = len(left) * texts[0]
    else:
        return
    if grown > MAX_TEXT:
        raise ResourceLimitError(f"`{name}` makes too long a text", token=None)


class Bounded(RenderContext):
    """A context that counts steps, over all partials of one rendering together."""

    __slots__ = ("budget",)

    def __init__(  # noqa: PLR0913  the engine's own signature, which `copy` calls
        self,
        template: BoundTemplate,
        *,
        globals: Mapping[str, object] | None = None,  # noqa: A002  the engine's name
        disabled_tags: list[str] | None = None,
        copy_depth: int = 0,
        parent_context: RenderContext | None = None,
        loop_iteration_carry: int = 1,
        local_namespace_size_carry: int = 0,
    ) -> None:
        super().__init__(
            template,
            globals=globals,
            disabled_tags=disabled_tags,
            copy_depth=copy_depth,
            parent_context=parent_context,
            loop_iteration_carry=loop_iteration_carry,
            local_namespace_size_carry=local_namespace_size_carry,
        )
        budget = self.globals.get(BUDGET)
        self.budget: list[int] = budget if isinstance(budget, list) else [MAX_STEPS]

    def step(self) -> None:
        """One more thing was done. Raises `ResourceLimitError` when it was one too many."""
        self.budget[0] -= 1
        if self.budget[0] < 0:
            raise ResourceLimitError("the template takes too many steps", token=None)

    @override
    def get(
        self, path: list[object], *, token: Token | None, default: object = UNDEFINED
    ) -> object:
        """A variable, one step."""
        self.step()
        return super().get(path, token=token, default=default)

    @override
    def copy(
        self,
        namespace: Mapping[str, object],
        disabled_tags: list[str] | None = None,
        carry_loop_iterations: bool = False,
        template: BoundTemplate | None = None,
        block_scope: bool = False,
    ) -> RenderContext:
        """The context of a partial, one step."""
        self.step()
        return super().copy(namespace, disabled_tags, carry_loop_iterations, template, block_scope)

    @override
    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """A bounded buffer that keeps line ends as they are: a carriage return is text."""
        used = buf.size if isinstance(buf, LimitedStringIO) else 0
        return LimitedStringIO(MAX_OUTPUT - used, newline="")

    @override
    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """A filter that keeps the bounds, one step a call."""
        self.step()
        try:
            function = self.env.filters[name]
        except KeyError as error:
            raise UnknownFilterError(f"unknown filter '{name}'", token=token) from error
        if getattr(function, "with_context", False):
            function = partial(function, context=self)
        if getattr(function, "with_environment", False):
            function = partial(function, environment=self.env)
        return partial(self._call, name, function)

    def _call(
        self,
        name: str,
        function: Callable[..., object],
        left: object,
        *args: object,
        **kwargs: object,
    ) -> object:
        if name != "default":
            for value in (left, *args, *kwargs.values()):
                if type(value) in ABSENT:
                    str(value)  # raises unless the policy prints nothing
        if name in TEXT_FILTERS and not isinstance(left, str):
            left = str(left) if type(left) in ABSENT else text_of(left)
        _refuse_growth(name, left, args)
        result = function(left, *args, **kwargs)
        if isinstance(result, str) and len(result) > MAX_TEXT:
            raise ResourceLimitError(f"`{name}` makes too long a text", token=None)
        if isinstance(result, int) and result.bit_length() > _MAX_BITS:
            raise ResourceLimitError(f"`{name}` makes too large a number", token=None)
        return result


def scope_of(context: RenderContext) -> Scope:
    """The scope that a template is rendered in."""
    found = context.globals[SCOPE]
    assert isinstance(found, Scope)  # noqa: S101  put there by the one who renders
    return found


def namespace(values: Mapping[str, object], scope: Scope) -> dict[str, object]:
    """The globals of one rendering, with a budget of its own."""
    return {
        **values,
        SCOPE: scope,
        BUDGET: [MAX_STEPS],
        "now": scope.now,
        "today": scope.now.date(),
    }
