"""A decision in one readable paragraph: what happened, and what would have to change."""

from typing import Final

import numpy as np

from clarion.domain.decision_row import NO_WINDOWS, Action, Flag
from clarion.domain.frequency import CapAction, per
from clarion.domain.intervals import NEVER
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.policy import Policy
from clarion.domain.quiet_windows import DAY_NAMES, Window, clock, windows_of_person
from clarion.domain.send_time import instant
from clarion.domain.zones import UNKNOWN_ZONE, ZoneSource, ZoneTable

_SOURCES: Final = {
    ZoneSource.UNKNOWN: "not known",
    ZoneSource.DEVICE: "reported by the device",
    ZoneSource.USER: "set for the person",
    ZoneSource.COUNTRY: "implied by the country",
    ZoneSource.APP: "the app's own",
}

_REMEDIES: Final = {
    Reason.ACCEPTED: "",
    Reason.USER_OPTED_OUT: "The person said no to every message of the app. Only they can change "
    "that.",
    Reason.SUPPRESSION_LIST: "The person is on a suppression list. Taking them off it would let "
    "the message through.",
    Reason.USER_HAS_NO_DEVICE: "The person has no device. Registering one would make them "
    "reachable.",
    Reason.DEVICE_DEAD: "The network declared the device's token dead. The device has to register "
    "again.",
    Reason.DEVICE_OPTED_OUT: "The person said no on this device. Only they can change that.",
    Reason.PERMISSION_DENIED: "The system does not show the app's notifications on this device. "
    "The person has to allow them in its settings.",
    Reason.NETWORK_EXCLUDED: "The message names networks and this device's is none of them. Name "
    "it too, or none.",
    Reason.CREDENTIAL_MISSING: "The app has no credential for the device's network. Add one.",
    Reason.CONSENT_MISSING: "No yes of the person to the category is on record. It is sendable "
    "once they opt in.",
    Reason.CATEGORY_OPTED_OUT: "The person said no to the category. Only they can change that.",
    Reason.PAUSED_BY_PERSON: "The person had paused messages. One that is due after the pause "
    "would go through.",
    Reason.LOCAL_TIME_PASSED: "The time asked for was over where the person is. An earlier start, "
    "`next_day`, or a longer grace would have let it through.",
    Reason.TIME_ZONE_UNKNOWN: "The person's time zone is not known, and the policy does not guess. "
    "A device that reports its zone, a zone of the person or the country's, or "
    "`unknown_zone: app_zone` in the app's rules would let it through.",
    Reason.HELD_FOR_LOCAL_TIME: "That is when it was asked to be sent.",
    Reason.DIGESTED: "The person asked for a digest of this category. Only they can change that.",
    Reason.VARIABLE_MISSING: "The message prints something that is not known of the person. A "
    "value, a fallback, or a text without it would let it through.",
    Reason.TEMPLATE_FAILED: "The message's template fails for what is known of the person. Its "
    "preview with their values says where.",
    Reason.PAYLOAD_TOO_LARGE: "With the person's values the payload is longer than the network "
    "takes. A shorter text, or one that may be cut, would let it through.",
    Reason.DEADLINE_PASSED: "Its deadline was over already. A later `expires_at` would let it "
    "through.",
}


def explain(
    row: np.void, policy: Policy, zone_names: tuple[str, ...] = (), persons: tuple[str, ...] = ()
) -> str:
    """What was decided about one device, and why, in a few sentences.

    Args:
        row: one `DECISION_ROW`.
        policy: the one that it was decided by.
        zone_names: of the chunk's meta; without them instants are told in UTC only.
        persons: the texts of people's own windows, of the chunk's meta.
    """
    action, reason = Action(int(row["action"])), Reason(int(row["reason"]))
    decided = f"At {_when(row, 'decided_us', zone_names)}"
    sending = _when(row, "send_us", zone_names)
    opening = (
        f"{decided}, device {row['device']} of user {row['user']} ({_network(row)}) was considered "
        f"for a message of category `{policy.category.slug}` (policy {policy.version:016x})."
    )
    parts = [opening]
    match action:
        case Action.SEND:
            parts.append("Every rule let it through, so it was due at once.")
        case Action.HOLD:
            parts.append(f"It is held until {sending} (`{reason.label}`).")
        case Action.DIGEST:
            parts.append(f"It goes into the digest that is due at {sending} (`{reason.label}`).")
        case Action.SKIP:
            parts.append(f"It was not sent (`{reason.label}`).")
    parts.append(_why(row, reason, policy, persons))
    if int(row["flags"]) & Flag.SILENT:
        parts.append("It is silent, because quiet hours of action `silent` are on then.")
    if action in {Action.SEND, Action.HOLD} and int(row["open_until_us"]) != NEVER:
        parts.append(f"Quiet hours begin at {_when(row, 'open_until_us', zone_names)}.")
    parts.append(f"The time zone is {_SOURCES[ZoneSource(int(row['zone_source']))]}.")
    return " ".join(part for part in parts if part)


def _network(row: np.void) -> str:
    code = int(row["network"])
    return Network(code).label if code in set(Network) else "no network"


def _when(row: np.void, name: str, zone_names: tuple[str, ...]) -> str:
    at_us = int(row[name])
    told = f"{instant(at_us):%Y-%m-%d %H:%M:%S}Z"
    code = int(row["zone"])
    if code == UNKNOWN_ZONE or code >= len(zone_names):
        return told
    zones = ZoneTable.build([zone_names[code]], at_us, at_us)
    wall = zones.to_local(np.zeros(1, np.int64), np.array([at_us]))[0]
    return f"{told} ({instant(int(wall)):%a %H:%M} in {zone_names[code]})"


def _why(row: np.void, reason: Reason, policy: Policy, persons: tuple[str, ...]) -> str:
    match reason:
        case Reason.QUIET_HOURS | Reason.HELD_FOR_QUIET_HOURS:
            return _quiet(row, policy, persons)
        case Reason.FREQUENCY_CAPPED | Reason.HELD_FOR_CAP:
            return _caps(row, policy)
        case Reason.HELD_PAST_DEADLINE:
            return _late(policy)
        case _:
            return _REMEDIES[reason]


def _late(policy: Policy) -> str:
    if policy.expires_us is None:  # decided by another policy than the one given
        return "The rules would have held it past its deadline."
    return (
        f"The rules would have held it past its deadline, "
        f"{instant(policy.expires_us):%Y-%m-%d %H:%M}Z. A later `expires_at` would let it through."
    )


def _quiet(row: np.void, policy: Policy, persons: tuple[str, ...]) -> str:
    owners = []
    for name, quiet in (
        ("the app", policy.quiet_hours),
        (f"category `{policy.category.slug}`", policy.category.quiet_hours),
    ):
        if quiet is not None:
            owners.append(f"{name} ({_windows(quiet.windows)}; {quiet.action.value})")
    code = int(row["quiet"])
    if code != NO_WINDOWS and code < len(persons):
        owners.append(f"the person ({_windows(windows_of_person(persons[code]))}; hold)")
    return (
        f"Quiet hours of {', '.join(owners) or 'the person'} apply, by the clock where the person "
        "is. An urgent category, one that quiet hours do not bind, or other windows would let it "
        "through at once."
    )


def _windows(windows: tuple[Window, ...]) -> str:
    return ", ".join(
        f"{_days(window.days)}{clock(window.start_min)} to {clock(window.end_min)}"
        for window in windows
    )


def _days(bits: int) -> str:
    days = [name for bit, name in enumerate(DAY_NAMES) if bits >> bit & 1]
    return "" if len(days) == len(DAY_NAMES) else "/".join(days) + " "


def _caps(row: np.void, policy: Policy) -> str:
    told, longest = [], ""
    for cap, count in zip(policy.binding_caps, row["counters"].tolist(), strict=False):
        full = " (full)" if count >= cap.count else ""
        told.append(f"{count} of {cap.count} per {per(cap.window)} over {cap.scope.value}{full}")
        if full and cap.action is not CapAction.DEFER:
            longest = " A cap of action `defer` would hold it until there is room."
    later = int(row["flags"]) & (Flag.CAPPED_LATER | Flag.DIGESTED_LATER)
    moved = " It was held first, and there was no room then either." if later else ""
    return (
        f"The caps had counted {', '.join(told)}.{moved} A higher cap, or a priority above that of "
        f"a message that is held for the person, would let it through.{longest}"
    )
