"""What a message says, independent of any network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network

Json = object
"""Any JSON value: None, bool, int, float, str, list or dict of the same (narrow before use)."""


class Priority(IntEnum):
    """How eager the network should be."""

    LOW = 1
    NORMAL = 5
    HIGH = 10


class PushType(StrEnum):
    """What kind of push this is; Apple's names, mapped by every network."""

    ALERT = "alert"
    BACKGROUND = "background"
    VOIP = "voip"
    COMPLICATION = "complication"
    FILEPROVIDER = "fileprovider"
    MDM = "mdm"
    LIVEACTIVITY = "liveactivity"
    LOCATION = "location"
    PUSHTOTALK = "pushtotalk"
    WIDGETS = "widgets"
    CONTROLS = "controls"


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """A button under a notification."""

    id: str
    title: str
    icon: str | None = None
    link: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What the person sees and the app receives."""

    title: str | None = None
    subtitle: str | None = None
    body: str | None = None
    image: str | None = None
    icon: str | None = None
    actions: tuple[Action, ...] = ()
    link: str | None = None
    sound: str | None = None
    badge: int | None = None
    data: Mapping[str, Json] = field(default_factory=dict)
    action_set: str | None = None
    """Name of a set of buttons that the app has registered (Apple's notification category)."""
    thread: str | None = None
    overrides: Mapping[Network, Mapping[str, Json]] = field(default_factory=dict)
    """Per network, what is merged over the payload that we would build (see each provider)."""

    @property
    def buttons(self) -> str | None:
        """What Apple's systems know the buttons by: `action_set`, else a name of the buttons' ids.

        `clarion.accept.decline` for buttons `accept` and `decline`, in the message's order: an app
        that registers a set of that name needs to say nothing in its messages.
        """
        if self.action_set is not None or not self.actions:
            return self.action_set
        return ".".join(("clarion", *(action.id for action in self.actions)))


class MissingVariable(StrEnum):
    """What happens where a template prints a variable that a person does not have."""

    FAIL = "fail"
    """The message is refused for everybody, with the number of people and the variable."""
    FALLBACK = "fallback"
    """The variable's fallback is printed; nothing where it has none."""
    SKIP = "skip"
    """The person is left out, with the reason `variable_missing`."""


class Overflow(StrEnum):
    """What happens to a recipient whose payload would be longer than the network takes."""

    REFUSE = "refuse"
    """The recipient ends with `payload_too_large`; nobody else is affected."""
    TRUNCATE = "truncate"
    """The body is cut between graphemes, and ends with an ellipsis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateRef:
    """A stored template; without a version, the newest at the time of acceptance."""

    name: str
    version: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Utm:
    """Campaign parameters that are merged into every web link of a message."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """How a message's words become a person's: languages, templates, links."""

    liquid: bool = True
    """Whether the content's texts are templates."""
    language: str = ""
    """BCP 47 tag of the message's own content: who has no better variant gets it. Empty: it is in
    everybody's own language, by which numbers and dates are written then."""
    localized: Mapping[str, Content] = field(default_factory=dict)
    """BCP 47 tag -> what differs in that language; a field that is None stays as it is."""
    template: TemplateRef | None = None
    """Where the content's texts came from, with the version."""
    partials: Mapping[str, str] = field(default_factory=dict)
    """The text that each partial had when the message was accepted."""
    variables: Mapping[str, Json] = field(default_factory=dict)
    """Values that are the same for everybody, printed as `{{ message.NAME }}`."""
    missing: MissingVariable = MissingVariable.FALLBACK
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    """Variable (such as `user.first_name`) -> what is printed where a person has none."""
    overflow: Overflow = Overflow.REFUSE
    track_links: bool = False
    """Web links lead over our redirect, so that a click is known without an SDK."""
    utm: Utm | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message as delivery needs it: one content for every recipient of the message."""

    id: MessageId
    app: AppId
    lane: Lane
    content: Content
    push_type: PushType = PushType.ALERT
    priority: Priority = Priority.HIGH
    ttl: timedelta | None = None
    """How long the network may keep trying; None leaves it to the network's default."""
    expires_at: datetime | None = None
    """The sender's deadline: past it nothing is sent any more, and no network may show it."""
    collapse_id: str | None = None
    """Messages with the same id replace each other on the device."""
    retry_id: str | None = None
    """The same for every try of one request (from its idempotency key): a process that dies before
    it answers may have sent the message, and the client's retry then has another id."""
    category: str = "transactional"
    """Slug of the operator's category: what consent, caps and quiet hours go by."""
    wording: Wording | None = None
    """None: the content is what everybody reads, letter by letter."""

    def network_ttl_s(self, now: datetime) -> int | None:
        """Seconds the network may keep the message from `now` on: the nearer of both clocks."""
        limits = [] if self.ttl is None else [self.ttl.total_seconds()]
        if self.expires_at is not None:
            limits.append((self.expires_at - now).total_seconds())
        return max(0, int(min(limits))) if limits else None

    @property
    def display_id(self) -> str:
        """What makes a device show the message once although it may arrive twice."""
        return self.collapse_id or self.retry_id or self.id
