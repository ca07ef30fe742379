"""Cursors of our lists: bound to the app and the list, checked before use."""

from datetime import UTC, datetime, timedelta
from typing import Final

from clarion.api.problems import ProblemError, sentence
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import AppId, MessageId
from clarion.wire.cursor import CursorError, decode, encode

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def number_cursor(after: int, *, app: AppId, what: str, key: bytes) -> str:
    """A cursor behind the row of this id."""
    return encode([after], scope=f"{app}/{what}", key=key)


def number_after(cursor: str | None, *, app: AppId, what: str, key: bytes) -> int | None:
    """What `number_cursor` wrapped; raises `ProblemError` with code `cursor_invalid`."""
    if cursor is None:
        return None
    match _read(cursor, f"{app}/{what}", key):
        case [int(after)]:
            return after
        case _:
            raise _bad("The cursor is of another list.")


def name_cursor(after: str, *, app: AppId, what: str, key: bytes) -> str:
    """A cursor behind the row of this name."""
    return encode([after], scope=f"{app}/{what}", key=key)


def name_after(cursor: str | None, *, app: AppId, what: str, key: bytes) -> str:
    """What `name_cursor` wrapped, empty for the beginning; raises as `number_after`."""
    if cursor is None:
        return ""
    match _read(cursor, f"{app}/{what}", key):
        case [str(after)]:
            return after
        case _:
            raise _bad("The cursor is of another list.")


def moment_cursor(moment: datetime, message: MessageId, *, app: AppId, key: bytes) -> str:
    """A cursor behind the message that was created then."""
    micros = (moment - _EPOCH) // timedelta(microseconds=1)
    return encode([micros, message], scope=f"{app}/messages", key=key)


def moment_before(
    cursor: str | None, *, app: AppId, key: bytes
) -> tuple[datetime, MessageId] | None:
    """What `moment_cursor` wrapped; raises `ProblemError` with code `cursor_invalid`."""
    if cursor is None:
        return None
    match _read(cursor, f"{app}/messages", key):
        case [int(micros), str(message)]:
            return _EPOCH + timedelta(microseconds=micros), MessageId(message)
        case _:
            raise _bad("The cursor is of another list.")


def _read(cursor: str, scope: str, key: bytes) -> list[str | int | float | bool | None]:
    try:
        return decode(cursor, scope=scope, key=key)
    except (CursorError, UnicodeError) as error:
        raise _bad(sentence(str(error))) from None


def _bad(detail: str) -> ProblemError:
    return ProblemError(ErrorCode.CURSOR_INVALID, detail)
