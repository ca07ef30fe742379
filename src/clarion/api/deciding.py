"""From a recorded decision to what the API shows of it."""

from typing import Final, Literal, cast

from clarion.api.shapes.messages import DecisionView
from clarion.domain.decided import Decided
from clarion.domain.decision_row import Action
from clarion.domain.explanation import explain
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.policy import policy_from
from clarion.domain.send_time import instant

_NETWORKS: Final = {int(network): network.label for network in Network}


def decision_view(one: Decided) -> DecisionView:
    """One decision about one device."""
    row, policy = one.rows[0], policy_from(one.policy)
    zone, language = int(row["zone"]), int(row["variant"])
    action = Action(int(row["action"])).label
    return DecisionView(
        at=instant(int(row["decided_us"])),
        device=int(row["device"]) or None,
        network=_NETWORKS.get(int(row["network"])),
        action=cast('Literal["send", "hold", "skip", "digest"]', action),
        reason=Reason(int(row["reason"])).label,
        send_at=instant(int(row["send_us"])),
        policy=f"{policy.version:016x}",
        time_zone=one.zones[zone] if zone < len(one.zones) else None,
        language=one.languages[language] if language < len(one.languages) else None,
        counters=row["counters"][: len(policy.binding_caps)].tolist(),
        text=explain(row, policy, one.zones, one.persons),
    )
