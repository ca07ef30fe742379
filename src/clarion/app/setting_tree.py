"""The frozen tree of settings: every setting with its type, limits, default and sentence."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from typing_extensions import override

from clarion.app.setting_push import Push
from clarion.app.setting_retention import Retention
from clarion.domain.person import DEVICES_PER_USER


class Secret:
    """A value that shows itself only when asked to."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for whoever must use it."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "Secret('…')"

    @override
    def __str__(self) -> str:
        return "…"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    @override
    def __hash__(self) -> int:
        return hash(self._value)


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the tree."""


class Server(_Section, frozen=True):
    """Where the API listens."""

    host: Annotated[str, Meta(description="Address that the API listens on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(description="Port that the API listens on; 0 takes a free one.", ge=0, le=65535)
    ] = 8080
    public_url: Annotated[
        str | None, Meta(description="https:// address of the API on people's devices.")
    ] = None
    http_link_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts to which messages may link, and from which their pictures may come, "
            "over plain HTTP. The device's own (`localhost`) needs no entry."
        ),
    ] = ()
    processes: Annotated[
        int, Meta(description="API processes that share the port.", ge=1, le=256)
    ] = 1
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of proxies whose X-Forwarded-For and -Proto are believed."),
    ] = ("127.0.0.1", "::1")
    drain_s: Annotated[
        float,
        Meta(
            description="Seconds that requests and batches get to finish after SIGTERM.",
            ge=0,
            le=3600,
        ),
    ] = 20.0
    backlog: Annotated[
        int, Meta(description="Connections that may wait to be taken.", ge=1, le=65535)
    ] = 2048


class Api(_Section, frozen=True):
    """How much of anything the API takes."""

    max_body: Annotated[int, Meta(description="Octets of a request body.", ge=1024)] = 1024 * 1024
    max_batch_body: Annotated[
        int, Meta(description="Octets of the body of a batch request.", ge=1024)
    ] = 16 * 1024 * 1024
    max_import_body: Annotated[int, Meta(description="Octets of an imported file.", ge=1024)] = (
        4 * 1024 * 1024 * 1024
    )
    body_time_s: Annotated[
        float,
        Meta(
            description="Seconds that a body may take to arrive; for imports, between two pieces.",
            gt=0,
            le=3600,
        ),
    ] = 20.0
    rate_per_s: Annotated[
        float,
        Meta(
            description="Requests per second that one key may make, per API process.", gt=0, le=1e9
        ),
    ] = 5000.0
    rate_burst: Annotated[
        int, Meta(description="Requests that one key may make at once.", ge=1)
    ] = 10_000
    max_rows: Annotated[int, Meta(description="Rows of one batch request.", ge=1, le=5000)] = 5000
    devices_per_user: Annotated[
        int,
        Meta(
            description="Living devices that one user may have: a message to the user goes to all "
            "of them. What would add one more is refused.",
            ge=1,
            le=1_000_000,
        ),
    ] = DEVICES_PER_USER
    max_recipients: Annotated[
        int, Meta(description="Recipients that one message may name.", ge=1, le=10_000)
    ] = 10_000
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins whose pages may call the endpoints of device keys; `*` means all."
        ),
    ] = ("*",)
    events_every_s: Annotated[
        float,
        Meta(
            description="Seconds between two looks at a message for its event stream.",
            ge=0.05,
            le=60,
        ),
    ] = 0.5
    events_for_s: Annotated[
        float,
        Meta(description="Seconds after which an event stream ends; clients reconnect.", ge=1),
    ] = 3600.0
    operator_app: Annotated[
        str,
        Meta(
            description="App whose admin keys may make and list apps; made at the first start.",
            min_length=1,
        ),
    ] = "default"


class Data(_Section, frozen=True):
    """Where data is kept."""

    dir: Annotated[
        Path | None,
        Meta(
            description="Directory of all data; by default /var/lib/clarion for root, else "
            "$XDG_DATA_HOME/clarion or ~/.local/share/clarion."
        ),
    ] = None
    master_key_file: Annotated[
        Path | None,
        Meta(
            description="File with the key that seals credentials; by default `master.key` "
            "in the data "
            "directory, made at the first start."
        ),
    ] = None
    old_master_key_files: Annotated[
        tuple[Path, ...],
        Meta(
            description="Files with master keys from before, by which erased names that were kept "
            "with them are known again. They open no credential."
        ),
    ] = ()


class Database(_Section, frozen=True):
    """The state store."""

    url: Annotated[
        Secret | None,
        Meta(
            description="PostgreSQL to use, as a postgresql:// address; without one an "
            "embedded server runs."
        ),
    ] = None
    statement_s: Annotated[
        float, Meta(description="Seconds after which a statement is given up.", gt=0, le=1e9)
    ] = 30.0
    shared_buffers_mib: Annotated[
        int, Meta(description="Memory of the embedded server's cache, in MiB.", ge=16)
    ] = 96


class Facts(_Section, frozen=True):
    """The columnar engine."""

    memory_mib: Annotated[
        int, Meta(description="Memory that the engine may use, in MiB.", ge=64)
    ] = 256
    threads: Annotated[
        int,
        Meta(
            description="Threads of the engine; 0 means one per core, two at most.", ge=0, le=1024
        ),
    ] = 0
    drain_every_s: Annotated[
        float,
        Meta(
            description="Seconds between two takings of outcomes that nobody asks for.",
            gt=0,
            le=60,
        ),
    ] = 2.0


class Log(_Section, frozen=True):
    """Logs."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least level that is written."),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "human"],
        Meta(description="JSON lines, readable lines, or readable on a terminal only."),
    ] = "auto"


class Workers(_Section, frozen=True):
    """The processes of the line."""

    senders: Annotated[
        int, Meta(description="Sender processes; 0 means one per core.", ge=0, le=1024)
    ] = 0
    planners: Annotated[int, Meta(description="Planner processes.", ge=1, le=256)] = 1


class Faults(_Section, frozen=True):
    """When a credential is put in quarantine."""

    share: Annotated[
        float,
        Meta(
            description="Share of a credential's last answers that must be configuration faults.",
            gt=0,
            le=1,
        ),
    ] = 0.2
    at_least: Annotated[
        int, Meta(description="...and how many of them at least; or so many in a row.", ge=1)
    ] = 20
    window_s: Annotated[
        float,
        Meta(
            description="Seconds after which an answer says nothing about a credential.",
            gt=0,
            le=1e9,
        ),
    ] = 3600.0
    window_answers: Annotated[
        int, Meta(description="How many of a credential's last answers are judged.", ge=1, le=10**6)
    ] = 1000


class Egress(_Section, frozen=True):
    """How we reach the networks."""

    allow_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts of push services that may have private addresses or speak "
            "plain HTTP."
        ),
    ] = ()
    ca_file: Annotated[
        Path | None, Meta(description="Certificates of authorities to trust besides the system's.")
    ] = None
    proxy_url: Annotated[
        Secret | None, Meta(description="HTTP proxy for everything that leaves.")
    ] = None
    connect_s: Annotated[
        float, Meta(description="Seconds that a connection may take to open.", gt=0, le=300)
    ] = 10.0
    request_s: Annotated[
        float, Meta(description="Seconds that a network may take to answer.", gt=0, le=300)
    ] = 30.0
    connections: Annotated[
        int, Meta(description="Connections per host and process.", ge=1, le=1000)
    ] = 4


class Apns(_Section, frozen=True):
    """Apple's network."""

    production_url: Annotated[str, Meta(description="Address of the production service.")] = (
        "https://api.push.apple.com"
    )
    sandbox_url: Annotated[str, Meta(description="Address of the sandbox.")] = (
        "https://api.sandbox.push.apple.com"
    )


class Fcm(_Section, frozen=True):
    """Google's network."""

    base_url: Annotated[str, Meta(description="Address of the service.")] = (
        "https://fcm.googleapis.com"
    )
    token_url: Annotated[
        str | None,
        Meta(
            description="Address of the OAuth token service; by default the one in the "
            "service account."
        ),
    ] = None
    per_minute: Annotated[
        int, Meta(description="Pushes per minute and project, over all senders.", ge=1)
    ] = 600_000


class WebPush(_Section, frozen=True):
    """Browsers' push services."""

    subject: Annotated[
        str | None,
        Meta(
            description="Contact that push services see when a credential names none: "
            "mailto: or https:."
        ),
    ] = None
    sender_key_lifetime_s: Annotated[
        float,
        Meta(
            description="Seconds that a sender key serves; 0 makes a fresh one for each message.",
            ge=0,
            le=86_400,
        ),
    ] = 0.0


class Identity(_Section, frozen=True):
    """Proof of who a person is, where a public device key says so."""

    secrets: Annotated[
        dict[str, Secret],
        Meta(
            description="App name and the HS256 secret that its server signs identity "
            "tokens with; apps "
            "named here demand them."
        ),
    ] = {}


class Metrics(_Section, frozen=True):
    """Prometheus."""

    directory: Annotated[
        Path | None,
        Meta(
            description="Directory that the processes share their numbers in; by default "
            "`metrics` in the data directory."
        ),
    ] = None


class Settings(_Section, frozen=True):
    """Everything."""

    server: Server = Server()
    api: Api = Api()
    data: Data = Data()
    database: Database = Database()
    facts: Facts = Facts()
    log: Log = Log()
    workers: Workers = Workers()
    faults: Faults = Faults()
    retention: Retention = Retention()
    egress: Egress = Egress()
    apns: Apns = Apns()
    fcm: Fcm = Fcm()
    webpush: WebPush = WebPush()
    push: Push = Push()
    identity: Identity = Identity()
    metrics: Metrics = Metrics()

    @property
    def data_dir(self) -> Path:
        """The directory of all data."""
        return Path("/var/lib/clarion") if self.data.dir is None else self.data.dir
