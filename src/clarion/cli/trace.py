"""`clarion trace`: one person's part in a message."""

import asyncio
from typing import Annotated, Final
from urllib.parse import quote

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from clarion.cli.connection import Connection, Json
from clarion.cli.exits import Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.outcomes import LABELS
from clarion.cli.output import OUT, print_json


def trace(
    message: str,
    user: str,
    *,
    by_id: Annotated[bool, Parameter(negative=())] = False,
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Why did this person get this message, or not?

    Args:
        message: The message's id, as `clarion send` prints it.
        user: The person's external id.
        by_id: USER is the platform's own id of the person.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    view = asyncio.run(_trace(Connection(url, key), message, user, by_id=by_id))
    if json:
        print_json(view)
    else:
        show_trace(view)
    return Exit.OK


async def _trace(connection: Connection, message: str, user: str, *, by_id: bool) -> Json:
    async with connection:
        path = f"/v1/messages/{quote(message, safe='')}/recipients/{quote(user, safe='')}"
        return await connection.get(path, **({"by": "id"} if by_id else {}))


def show_trace(view: Json) -> None:
    """A paragraph that says it all, and a table that shows it."""
    OUT.print(escape(paragraph(view)), soft_wrap=True)
    for decision in view.get("decisions", ()):
        OUT.print(escape(decision["text"]), soft_wrap=True)
    for line in (*segment_lines(view), *list_lines(view), *digest_lines(view)):
        OUT.print(escape(line), soft_wrap=True)
    if not view["attempts"]:
        return
    table = Table("time (UTC)", "device", "network", "try", "outcome", "reason", "status", "said")
    for attempt in view["attempts"]:
        table.add_row(
            _clock(str(attempt["at"])),
            "-" if attempt["device"] is None else str(attempt["device"]),
            _label(attempt["network"]),
            str(attempt["attempt"] + 1) if attempt["status"] else "-",
            attempt["outcome"] or "tried again",
            str(attempt["reason"]).replace("_", " "),
            str(attempt["status"] or "-"),
            escape(attempt["note"] or attempt["provider_id"] or "-"),
        )
    OUT.print(table)


def paragraph(view: Json) -> str:
    """One person's part in a message, in words."""
    who = view["external_id"] or f"anonymous user {view['user']}"
    attempts: list[Json] = view["attempts"]
    if not attempts and view.get("too_old"):
        return (
            f"{who}, message {view['message']} ({view['state']}). It ended so long ago that what "
            "was recorded of it is no longer kept."
        )
    if not attempts and view.get("decisions"):
        return f"{who}, message {view['message']} ({view['state']}). Nothing was sent so far."
    if not attempts:
        return f"Nothing was recorded for {who}: {_UNDECIDED.get(view['state'], _NOT_MEANT)}."
    devices = {device["id"]: device for device in view["devices"]}
    final = [a for a in attempts if a["outcome"] is not None]
    told = {a["device"]: _told(a["device"], view.get("signals", [])) for a in final}
    parts = [f"{_device(a, devices)}: {_ending(a, attempts)}{told[a['device']]}" for a in final]
    waiting = {a["device"] for a in attempts} - {a["device"] for a in final}
    parts += [f"device {device}: not finished yet, it is tried again" for device in sorted(waiting)]
    return f"{who}, message {view['message']} ({view['state']}). " + "; ".join(parts) + "."


_NOT_MEANT: Final = "the message did not include them"
_UNDECIDED: Final = {
    "scheduled": "the message is scheduled, and who gets it is decided when it is due",
    "sending": "the message is being sent, and nothing was decided about them so far",
    "paused": "the message is paused, and nothing was decided about them so far",
    "canceling": "the message is being canceled, and nothing was decided about them so far",
    "canceled": "the message was canceled before anything was decided about them, if it was "
    "meant for them at all",
}


def segment_lines(view: Json) -> list[str]:
    """By which segments the person was chosen, in the words of then."""
    return [
        f"Chosen by segment {one['name']}, version {one['version']}: "
        f"{one['text'] or 'its text was not kept'}"
        for one in view.get("segments", [])
    ]


def list_lines(view: Json) -> list[str]:
    """Which suppression lists kept the person from it."""
    told = [one["reason"] for one in (*view.get("decisions", ()), *view["attempts"])]
    if "suppression_list" not in told:
        return []
    lists = [
        f"{one['list']} (since {str(one['since']).partition('T')[0]})"
        for one in view.get("suppressed_by", [])
    ]
    if not lists:
        return ["The suppression list that kept them from it has no longer their name."]
    return [f"Suppression lists that have their name: {', '.join(lists)}."]


def digest_lines(view: Json) -> list[str]:
    """Which digest the part is in, and what is in it if it is one."""
    lines = []
    digest = view.get("digest")
    if digest is not None:
        due = str(digest["due_at"]).replace("T", " ").replace("Z", " UTC")
        lines.append(
            f"It waits for the digest that is due at {due}."
            if digest["message"] is None
            else f"It went into the digest {digest['message']}, due at {due}."
        )
    items = view.get("digest_items", [])
    if items:
        lines.append(f"The digest has {len(items)} of their messages: {', '.join(items)}.")
    return lines


def _device(attempt: Json, devices: dict[int, Json]) -> str:
    if attempt["device"] is None:
        return "the person"
    device = devices.get(attempt["device"], {})
    what = device.get("model") or device.get("platform") or "device"
    return f"{what} (device {attempt['device']}, {_label(attempt['network'])})"


def _ending(final: Json, attempts: list[Json]) -> str:
    tries = sum(1 for a in attempts if a["device"] == final["device"])
    reason = str(final["reason"]).replace("_", " ")
    match final["outcome"]:
        case "accepted":
            said = "accepted by the network"
        case "dead":
            said = f"the network says that the token is no more ({reason})"
        case "suppressed":
            return f"not sent, because: {reason}"
        case outcome:
            said = f"{outcome}, because: {reason}"
    return said + (f" after {tries} attempts" if tries > 1 else "")


_TOLD = {
    "received": "the device confirmed it at",
    "undelivered": "it never reached the device, given up at",
    "displayed": "shown at",
    "opened": "opened at",
    "clicked": "clicked at",
    "dismissed": "dismissed at",
}


def _told(device: int | None, signals: list[Json]) -> str:
    """What the device said of it afterwards, the first time of each kind."""
    first: dict[str, str] = {}
    for signal in signals:
        if device is not None and signal["device"] == device:
            first.setdefault(signal["what"], str(signal["at"]))
    return "".join(f", {_TOLD[what]} {_clock(at)} UTC" for what, at in first.items())


def _clock(at: str) -> str:
    return at.partition("T")[2].removesuffix("Z").removesuffix("+00:00")[:12]


def _label(network: str | None) -> str:
    return "-" if network is None else LABELS.get(network, network)
