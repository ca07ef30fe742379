"""Pages of what is listed by name or by id: which part was asked for, and the cursor behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from clarion.api.cursor import name_after, name_cursor, number_after, number_cursor
from clarion.api.exchange import Exchange
from clarion.api.routing import Api
from clarion.api.shapes.people import PageQuery
from clarion.domain.ids import AppId


@dataclass(frozen=True, kw_only=True, slots=True)
class NamePage:
    """A part of a list in order of names."""

    app: AppId
    after: str
    """Names behind this one; empty: from the beginning."""
    limit: int
    what: str
    key: bytes

    def following(self, names: Sequence[str]) -> str | None:
        """The cursor behind the names that were found; None where there are no more."""
        if len(names) < self.limit:
            return None
        return name_cursor(names[-1], app=self.app, what=self.what, key=self.key)


def name_page(api: Api, call: Exchange, what: str) -> NamePage:
    """What the query asks for; raises `ProblemError` with code `cursor_invalid`."""
    query = call.query(PageQuery)
    app, key = call.caller.app, api.deps.cursor_key
    after = name_after(query.cursor, app=app, what=what, key=key)
    return NamePage(app=app, after=after, limit=query.limit, what=what, key=key)


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberPage:
    """A part of a list in order of ids."""

    app: AppId
    after: int | None
    """Ids behind this one; None: from the beginning."""
    limit: int
    what: str
    key: bytes

    def following(self, numbers: Sequence[int]) -> str | None:
        """The cursor behind the ids that were found; None where there are no more."""
        if len(numbers) < self.limit:
            return None
        return number_cursor(numbers[-1], app=self.app, what=self.what, key=self.key)


def number_page(api: Api, call: Exchange, what: str, query: PageQuery) -> NumberPage:
    """What the query asks for; raises `ProblemError` with code `cursor_invalid`."""
    app, key = call.caller.app, api.deps.cursor_key
    after = number_after(query.cursor, app=app, what=what, key=key)
    return NumberPage(app=app, after=after, limit=query.limit, what=what, key=key)
