"""The generated pages of `docs/reference`: what the code says of itself.

`make docs` writes them; a test of the architecture fails when one is out of date.
"""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Final, TypeVar

from clarion.api.openapi import document
from clarion.api.routes import ROUTES
from clarion.app.line import LINE
from clarion.app.settings import reference_page
from clarion.domain.campaign import (
    BATCH_TABLE,
    MESSAGE_TABLE,
    BatchInput,
    BatchState,
    MessageInput,
    MessageState,
)
from clarion.domain.device import DEVICE_TABLE, DeviceInput, DeviceState
from clarion.domain.errors import ERRORS, MORE_FIELD_CODES, FieldCode
from clarion.domain.outcome import Outcome, Reason, Verdict
from clarion.telemetry.names import COUNTERS, GAUGES, HISTOGRAMS, LogEvent, Metric, MetricSpec

State = TypeVar("State", bound=IntEnum)
Input = TypeVar("Input", bound=StrEnum)

ROOT: Final = Path(__file__).parents[3]
REFERENCE: Final = ROOT / "docs" / "reference"
RESULTS: Final = ROOT / "benchmarks" / "results"
RATIOS: Final = re.compile(r"(<!-- ratios[^>]*-->\n).*?(<!-- /ratios -->)", re.DOTALL)
GENERATED: Final = "<!-- Written by `make docs`; change the code instead. -->"

REASONS: Final[Mapping[Reason, str]] = {
    Reason.ACCEPTED: "The network took the message.",
    Reason.USER_OPTED_OUT: "The person said no to every message of the app.",
    Reason.DEVICE_OPTED_OUT: "The person said no on this device.",
    Reason.DEVICE_DEAD: "The device is a tombstone: its network declared the token dead, and it "
    "was not registered again.",
    Reason.USER_HAS_NO_DEVICE: "The person has no device.",
    Reason.DEVICE_MOVED: "Between planning and sending, the token was registered by another "
    "person.",
    Reason.USER_UNKNOWN: "The app knows nobody of the name in the request; the note is the name.",
    Reason.DEVICE_UNKNOWN: "The app has no device of the id in the request.",
    Reason.USER_DELETED: "The person or the device was removed between planning and sending.",
    Reason.CREDENTIAL_MISSING: "The app has no credential for the device's network.",
    Reason.NETWORK_EXCLUDED: "The message names networks, and this is none of them.",
    Reason.CONSENT_MISSING: "The category needs the person's yes, and none is recorded.",
    Reason.CATEGORY_OPTED_OUT: "The person said no to the message's category.",
    Reason.SUPPRESSION_LIST: "The person is on a suppression list of the app.",
    Reason.PERMISSION_DENIED: "The device's owner refused notifications, or blocked them in the "
    "system's settings.",
    Reason.PAUSED_BY_PERSON: "The person paused everything until later than the message was due.",
    Reason.QUIET_HOURS: "It was due in quiet hours whose rule is to drop, or which never open.",
    Reason.FREQUENCY_CAPPED: "One more would be more than a frequency cap permits.",
    Reason.LOCAL_TIME_PASSED: "The time asked for was over where the person is.",
    Reason.DIGESTED: "It goes into the person's digest instead of being sent on its own.",
    Reason.GAVE_WAY: "It was held, and a more important message took its place under a cap.",
    Reason.VARIABLE_MISSING: "A template needs a value that the person does not have.",
    Reason.NOT_IN_SEGMENT: "The person is not in the segment that the message is for.",
    Reason.TIME_ZONE_UNKNOWN: "Where the person is, is not known, and the rules need it.",
    Reason.TEMPLATE_FAILED: "The template could not be rendered for the person, or an address "
    "that it makes leads where nobody may be led.",
    Reason.HELD_FOR_LOCAL_TIME: "Waits for the time asked for where the person is.",
    Reason.HELD_FOR_QUIET_HOURS: "Waits for the end of quiet hours.",
    Reason.HELD_FOR_CAP: "Waits until the frequency caps permit one more.",
    Reason.TOKEN_UNREGISTERED: "The app was removed from the device, or the subscription ended.",
    Reason.TOKEN_INVALID: "The network says that it never gave out such a token.",
    Reason.TOKEN_OF_ANOTHER_SENDER: "The token belongs to another app or another key.",
    Reason.TOKEN_REPLACED: "The network named a new token, which another device row holds already.",
    Reason.PAYLOAD_REFUSED: "The network refuses the content; the note has its words.",
    Reason.PAYLOAD_TOO_LARGE: "The content is larger than the network takes.",
    Reason.REQUEST_MALFORMED: "The network can't read the request; tell us, this is our fault.",
    Reason.ENDPOINT_FORBIDDEN: "The egress guard does not let us call the endpoint (a private "
    "address, no HTTPS, a redirect).",
    Reason.CREDENTIAL_REJECTED: "The network does not accept the credential.",
    Reason.CREDENTIAL_EXPIRED: "The credential's time is over.",
    Reason.TOPIC_DISALLOWED: "The credential does not cover the app's topic.",
    Reason.THROTTLED: "The network asks for fewer requests.",
    Reason.PROVIDER_UNAVAILABLE: "The network says that it can't serve at the moment.",
    Reason.PROVIDER_ERROR: "The network failed.",
    Reason.ANSWER_TIMED_OUT: "The network did not answer in time; the message may have arrived.",
    Reason.CONNECTION_LOST: "The connection broke before the answer; the message may have arrived.",
    Reason.CONNECTION_REFUSED: "The network can't be reached.",
    Reason.BATCH_POISONED: "Sending to this recipient takes the sender down; it was set aside.",
    Reason.CANCELED_BY_SENDER: "The message was canceled before this recipient's turn.",
    Reason.DEADLINE_PASSED: "`expires_at` or the TTL was over before it could be sent (again).",
    Reason.HELD_PAST_DEADLINE: "The rules held it until `expires_at` was over.",
}
"""What each reason means for an operator."""

COMMANDS: Final = "from clarion.cli.entry import application as a; print(a().generate_docs())"


def sentences(enum: type[Enum]) -> Mapping[str, str]:
    """The docstring after each member of an enum, by the member's name."""
    (tree,) = ast.parse(inspect.getsource(enum)).body
    if not isinstance(tree, ast.ClassDef):
        return {}
    found = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[node.targets[0].id] = " ".join(str(after.value.value).split())
    return found


def page(title: str, *parts: str) -> str:
    """A Markdown page."""
    return "\n\n".join([f"# {title}", GENERATED, *parts]) + "\n"


def rows(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def settings_page() -> str:
    """Every setting."""
    return reference_page()


def errors_page() -> str:
    """Every error that the API answers with."""
    kinds = [
        [f"`{code}`", str(kind.status), kind.title, "yes" if kind.retryable else "no"]
        for code, kind in ERRORS.items()
    ]
    return page(
        "Errors",
        "Every refusal is a problem document (RFC 9457, `application/problem+json`) with a\n"
        "`code`; its `type` is `/errors/` and the code. A code is never renamed and never gets a\n"
        "second meaning. *Again* says whether the same request may succeed later.",
        rows(("Code", "Status", "Title", "Again"), kinds),
        "## Fields",
        "A problem with fields of the request has `errors`: for each its `path` (a JSON pointer\n"
        "into the body, `?name` of a query parameter, or a header's name), a `detail`, and one of\n"
        "these codes:",
        "\n".join(f"- `{code}`" for code in FieldCode),
        "Rows of registrations, imports, events and consents, and the contents of messages, know\n"
        "more:",
        rows(("Code", "Meaning"), [[f"`{code}`", told] for code, told in MORE_FIELD_CODES.items()]),
    )


def outcomes_page() -> str:
    """How a recipient's part of a message ends, and why."""
    ends = sentences(Outcome)
    verdicts = sentences(Verdict)
    return page(
        "Outcomes and reasons",
        "Every recipient of every message ends in exactly one outcome, with a reason. Both are\n"
        "stored with each attempt; the numbers are never reused.",
        "## Outcomes",
        rows(
            ("Outcome", "Number", "Meaning"),
            [[f"`{o.name.lower()}`", str(int(o)), ends[o.name]] for o in Outcome],
        ),
        "## Reasons",
        rows(
            ("Reason", "Number", "Meaning"),
            [[f"`{reason.label}`", str(int(reason)), REASONS[reason]] for reason in Reason],
        ),
        "## Verdicts",
        "What a network's answer means for us. Each network's table of answers is in\n"
        "`src/clarion/providers/<network>/errors.py`.",
        rows(
            ("Verdict", "Number", "Meaning"),
            [
                [f"`{v.name.lower()}`", str(int(v)), verdicts.get(v.name, "Accepted.")]
                for v in Verdict
            ],
        ),
    )


def metrics_page() -> str:
    """Every metric."""

    def table(kinds: Mapping[Metric, MetricSpec]) -> str:
        return rows(
            ("Metric", "Labels", "Meaning"),
            [
                [f"`{metric}`", ", ".join(f"`{name}`" for name in spec.labels), spec.help]
                for metric, spec in kinds.items()
            ],
        )

    return page(
        "Metrics",
        "`GET /metrics` shows the numbers of all processes of the server, for Prometheus.",
        "## Counters",
        table(COUNTERS),
        "## Gauges",
        table(GAUGES),
        "## Histograms (seconds)",
        table(HISTOGRAMS),
    )


def log_page() -> str:
    """Every log event."""
    return page(
        "Log events",
        "A log line is one JSON object: `time`, `level`, `event`, `logger`, `pid`, and the\n"
        "event's own fields. On a terminal it is a readable line. No line holds a token, content\n"
        "or an address. The events:",
        "\n".join(f"- `{event}`" for event in sorted(LogEvent)),
    )


def state_diagram(table: Mapping[tuple[State, Input], State], start: State) -> str:
    """A Mermaid diagram of a table of states."""
    edges = [f"    [*] --> {start.name.lower()}"]
    edges += [
        f"    {state.name.lower()} --> {after.name.lower()}: {what}"
        for (state, what), after in table.items()
    ]
    left = {state for state, _ in table}
    edges += [f"    {state.name.lower()} --> [*]" for state in type(start) if state not in left]
    return "\n".join(["```mermaid", "stateDiagram-v2", *edges, "```"])


def meanings(states: type[IntEnum], inputs: type[StrEnum]) -> str:
    """What the states and inputs mean, where the code says so."""
    told = [f"- **{name.lower()}**: {text}" for name, text in sentences(states).items()]
    told += [f"- *{name.lower()}*: {text}" for name, text in sentences(inputs).items()]
    return "\n".join(told)


def states_page() -> str:
    """The state machines, drawn from their tables."""
    return page(
        "States",
        "Drawn from the tables in `clarion.domain`; what a table does not have is refused.",
        "## A message",
        state_diagram(MESSAGE_TABLE, MessageState.SCHEDULED),
        meanings(MessageState, MessageInput),
        "A message that was paused before its time goes back to waiting when it is resumed.",
        "## A piece of work (shard or batch)",
        state_diagram(BATCH_TABLE, BatchState.READY),
        meanings(BatchState, BatchInput),
        "## A device",
        state_diagram(DEVICE_TABLE, DeviceState.ACTIVE),
        meanings(DeviceState, DeviceInput),
    )


def line_page() -> str:
    """The line of stages, drawn from the table that workers start from."""
    nodes = [f'    {_node(s.name)}["{s.name}<br/>{s.role}"]' for s in LINE]
    edges = [
        f"    {_node(writer.name)} -->|{kind.__name__}| {_node(reader.name)}"
        for writer in LINE
        for kind in writer.produces
        for reader in LINE
        if kind in reader.consumes
    ]
    given = {kind for stage in LINE for kind in stage.produces}
    doors = [
        f"    api((api)) -->|{kind.__name__}| {_node(stage.name)}"
        for stage in LINE
        for kind in stage.consumes
        if kind not in given
    ]
    return page(
        "The line",
        "Each stage takes a hand-off, asks the rules, writes through a port, and hands on. The\n"
        "second line of a box is the role whose processes run it. No hand-off goes backwards.",
        "\n".join(["```mermaid", "flowchart LR", *nodes, *doors, *edges, "```"]),
        rows(
            ("Stage", "Role", "Takes", "Gives"),
            [
                [
                    f"`{stage.name}`",
                    stage.role,
                    ", ".join(kind.__name__ for kind in stage.consumes) or "requests",
                    ", ".join(kind.__name__ for kind in stage.produces) or "columns",
                ]
                for stage in LINE
            ],
        ),
    )


def _node(name: str) -> str:
    return name.replace(".", "_")


def commands_page() -> str:
    """The command line, as it tells of itself."""
    # The command line stands above this room, so it is asked as a program.
    told = subprocess.run(  # noqa: S603  our own interpreter and a constant
        [sys.executable, "-c", COMMANDS], capture_output=True, text=True, check=True
    )
    body = told.stdout.partition("\n")[2].strip()
    return page("The command line", "\n".join(line.rstrip() for line in body.splitlines()))


def openapi_page() -> str:
    """The API as an OpenAPI 3.1 document."""
    return document(ROUTES).decode().rstrip() + "\n"


def with_ratios(readme: str, results: Path = RESULTS) -> str:
    """The README with the ratios that the benchmarks recorded."""
    measured = [json.loads(file.read_text()) for file in sorted(results.glob("*.json"))]
    cells = [
        [f"`benchmarks.{result['benchmark']}`", name.replace("_", " "), f"{value:.3g}"]
        for result in measured
        for name, value in result["ratios"].items()
    ]
    told = rows(("Benchmark", "Ratio", "Measured"), cells) if cells else NOT_MEASURED
    return RATIOS.sub(lambda found: f"{found[1]}{told}\n{found[2]}", readme)


NOT_MEASURED: Final = "Nothing is recorded yet."

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "outcomes.md": outcomes_page,
    "metrics.md": metrics_page,
    "log-events.md": log_page,
    "states.md": states_page,
    "line.md": line_page,
    "commands.md": commands_page,
    "openapi.json": openapi_page,
}
"""File under `docs/reference` -> what writes it."""


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write(), encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")
    readme = ROOT / "README.md"
    readme.write_text(with_ratios(readme.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write("README.md\n")


if __name__ == "__main__":
    main()
