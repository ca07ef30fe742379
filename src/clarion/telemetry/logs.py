"""Structured logs: one JSON object a line, or a readable line on a terminal.

Tokens, content and addresses have no business in a log. Events carry numbers and ids only, and as
a second wall the formatters blot out everything that looks like a key, a JWT, a PEM block, a push
endpoint or a long token, in tracebacks too.
"""

import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

import orjson
from typing_extensions import override

from clarion.telemetry.names import LogEvent

Field = str | int | float | bool | None

_BLOTS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL), "[pem]"),
    (re.compile(r"\bclarion_(admin|send|device)_[A-Za-z0-9_.-]+"), r"clarion_\1_[redacted]"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+"), "[jwt]"),
    (re.compile(r"(?i)\b(bearer|basic|vapid)\s+\S+"), r"\1 [redacted]"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+]*://)[^\s/@:]*:[^\s@]*@"), r"\1[redacted]@"),
    (re.compile(r"https://[^\s/\"']+/[^\s\"']{24,}"), "[url]"),
    (re.compile(r"\b[0-9a-fA-F]{64,}\b"), "[token]"),
    (re.compile(r"\b[A-Za-z0-9_-]{8,}:[A-Za-z0-9_-]{60,}"), "[token]"),
    (re.compile(r"[A-Za-z0-9_\-+/=]{80,}"), "[redacted]"),
    (re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"), "[address]"),
)


def redact(text: str) -> str:
    """The text without what looks like a secret, a token or an address."""
    for pattern, instead in _BLOTS:
        text = pattern.sub(instead, text)
    return text


def log(
    logger: logging.Logger,
    level: int,
    event: LogEvent,
    *,
    error: BaseException | None = None,
    **fields: Field,
) -> None:
    """Write one event with its fields; `error` adds a redacted traceback."""
    if logger.isEnabledFor(level):
        info = None if error is None else (type(error), error, error.__traceback__)
        logger.log(level, event.value, exc_info=info, extra={"clarion_fields": fields})


def _fields(record: logging.LogRecord) -> dict[str, Field]:
    found = getattr(record, "clarion_fields", None)
    return dict(found) if isinstance(found, dict) else {}


def _clean(value: Field) -> Field:
    return redact(value) if isinstance(value, str) else value


class JsonLines(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339, UTC), `level`, `event`, `logger`, the fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Field] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": redact(record.getMessage()),
            "logger": record.name,
            "pid": record.process,
        }
        line |= {name: _clean(value) for name, value in _fields(record).items()}
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


class HumanLines(logging.Formatter):
    """A readable line: local time of day, level, event, `name=value`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        fields = " ".join(f"{name}={_clean(value)}" for name, value in _fields(record).items())
        line = f"{moment:%H:%M:%S} {record.levelname:<7} {redact(record.getMessage())} {fields}"
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info))
        return line.rstrip()


def start_logging(level: str, style: str, stream: TextIO | None = None) -> Callable[[], None]:
    """Send the process's logs to `stream` (standard error).

    `style` is `json`, `human` or `auto` (human on a terminal). Returns what undoes it. Loggers of
    libraries are kept at warnings: their debug lines quote addresses and headers.
    """
    out = sys.stderr if stream is None else stream
    human = style == "human" or (style == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(HumanLines() if human else JsonLines())
    root, ours = logging.getLogger(), logging.getLogger("clarion")
    before = (root.level, ours.level)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    ours.setLevel(level.upper())

    def undo() -> None:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])

    return undo
