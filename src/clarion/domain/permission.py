"""What the device's owner lets the system show, and how they were asked."""

from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import UInt8s


class Permission(IntEnum):
    """The system's permission on one device. The number is stored: never reuse one."""

    UNKNOWN = 0
    """The app does not report it."""
    NOT_ASKED = 1
    DENIED = 2
    PROVISIONAL = 3
    """Delivered quietly until the person decides (iOS)."""
    GRANTED = 4
    BLOCKED = 5
    """Switched off in the system's settings after it had been granted."""

    @property
    def label(self) -> str:
        """The state as the API spells it."""
        return self.name.lower()


REFUSING: Final = frozenset({Permission.DENIED, Permission.BLOCKED})
"""States in which nothing would be shown. Whoever was not asked yet may still be reached: some
systems (older Androids, wearables) show notifications without ever asking."""


_REFUSING: Final = np.isin(np.arange(256), [int(state) for state in REFUSING])


def refused(permission: UInt8s) -> npt.NDArray[np.bool_]:
    """Which rows' owners do not let the system show anything."""
    return _REFUSING[permission]


class PromptState(StrEnum):
    """How far asking for the permission has come on one device."""

    NOT_SHOWN = "not_shown"
    PRIMER_SHOWN = "primer_shown"
    PRIMER_ACCEPTED = "primer_accepted"
    PRIMER_DECLINED = "primer_declined"
    PROMPT_SHOWN = "prompt_shown"
    PROVISIONAL = "provisional"
    GRANTED = "granted"
    DENIED = "denied"
    BLOCKED = "blocked"


class PromptInput(StrEnum):
    """What happened, as the SDK reports it."""

    SHOW_PRIMER = "show_primer"
    ACCEPT_PRIMER = "accept_primer"
    DECLINE_PRIMER = "decline_primer"
    SHOW_PROMPT = "show_prompt"
    GRANT = "grant"
    GRANT_PROVISIONALLY = "grant_provisionally"
    DENY = "deny"
    DISMISS = "dismiss"
    """The system's question was closed without an answer; it may be asked again."""
    BLOCK = "block"
    RESET = "reset"
    """The app was installed anew, or the system forgot the answer."""


_S, _I = PromptState, PromptInput

PROMPT_TABLE: Final = MappingProxyType(
    {
        (_S.NOT_SHOWN, _I.SHOW_PRIMER): _S.PRIMER_SHOWN,
        (_S.NOT_SHOWN, _I.SHOW_PROMPT): _S.PROMPT_SHOWN,
        (_S.NOT_SHOWN, _I.GRANT_PROVISIONALLY): _S.PROVISIONAL,
        (_S.PRIMER_SHOWN, _I.ACCEPT_PRIMER): _S.PRIMER_ACCEPTED,
        (_S.PRIMER_SHOWN, _I.DECLINE_PRIMER): _S.PRIMER_DECLINED,
        (_S.PRIMER_DECLINED, _I.SHOW_PRIMER): _S.PRIMER_SHOWN,
        (_S.PRIMER_ACCEPTED, _I.SHOW_PROMPT): _S.PROMPT_SHOWN,
        (_S.PROMPT_SHOWN, _I.GRANT): _S.GRANTED,
        (_S.PROMPT_SHOWN, _I.GRANT_PROVISIONALLY): _S.PROVISIONAL,
        (_S.PROMPT_SHOWN, _I.DENY): _S.DENIED,
        (_S.PROMPT_SHOWN, _I.DISMISS): _S.NOT_SHOWN,
        (_S.PROVISIONAL, _I.SHOW_PRIMER): _S.PRIMER_SHOWN,
        (_S.PROVISIONAL, _I.SHOW_PROMPT): _S.PROMPT_SHOWN,
        (_S.PROVISIONAL, _I.GRANT): _S.GRANTED,
        (_S.PROVISIONAL, _I.DENY): _S.DENIED,
        (_S.GRANTED, _I.BLOCK): _S.BLOCKED,
        (_S.DENIED, _I.GRANT): _S.GRANTED,
        (_S.BLOCKED, _I.GRANT): _S.GRANTED,
        **{(state, _I.RESET): _S.NOT_SHOWN for state in _S if state is not _S.NOT_SHOWN},
    }
)
"""(state, what happened) -> state; what is absent did not happen in that order and is refused."""

PERMISSION_OF: Final = MappingProxyType(
    {
        _S.PROVISIONAL: Permission.PROVISIONAL,
        _S.GRANTED: Permission.GRANTED,
        _S.DENIED: Permission.DENIED,
        _S.BLOCKED: Permission.BLOCKED,
    }
)
"""What a state of the funnel says of the permission; in the others nobody was asked yet."""


def permission_of(state: PromptState) -> Permission:
    """The permission that a device in this state of the funnel has."""
    return PERMISSION_OF.get(state, Permission.NOT_ASKED)
