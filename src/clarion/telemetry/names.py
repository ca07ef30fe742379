"""The words of the logs and the metrics. A dashboard or an alert may rely on each of them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class LogEvent(StrEnum):
    """What a log line is about: the field `event` of every line."""

    ROLE_STARTED = "role.started"
    ROLE_DIED = "role.died"
    ROLE_STOPPED = "role.stopped"
    REQUEST = "api.request"
    REQUEST_FAILED = "api.request_failed"
    STORE_UNAVAILABLE = "store.unavailable"
    STORE_STARTED = "store.started"
    STORE_STOPPED = "store.stopped"
    ERASED_NAMES_UNKNOWN = "store.erased_names_unknown"
    FACTS_UNAVAILABLE = "facts.unavailable"
    MESSAGE_STEERED = "message.steered"
    SHARD_PLANNED = "planning.shard_planned"
    SHARD_POISONED = "planning.shard_poisoned"
    SHARD_OVERTAKEN = "planning.shard_overtaken"
    WORDS_MISSING = "planning.words_missing"
    BATCH_POISONED = "delivery.batch_poisoned"
    LEASE_LOST = "delivery.lease_lost"
    LEASE_EXPIRED = "delivery.lease_expired"
    CREDENTIAL_QUARANTINED = "credential.quarantined"
    CREDENTIAL_REINSTATED = "credential.reinstated"
    CREDENTIAL_CHANGED = "credential.changed"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    IMPORT_FINISHED = "import.finished"
    PUSH_CROWDED = "push.crowded"
    HANDLER_FAILED = "stage.handler_failed"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric's help text, labels and, for histograms, buckets."""

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Metric(StrEnum):
    """The name of every metric; counters carry `_total`, units are in the name."""

    HTTP_REQUESTS = "clarion_http_requests_total"
    HTTP_SECONDS = "clarion_http_request_seconds"
    HTTP_PROBLEMS = "clarion_http_problems_total"
    MESSAGES_ACCEPTED = "clarion_messages_accepted_total"
    RECIPIENTS_PLANNED = "clarion_recipients_planned_total"
    OUTCOMES = "clarion_outcomes_total"
    ATTEMPTS = "clarion_attempts_total"
    SEND_SECONDS = "clarion_send_seconds"
    ACCEPT_TO_WIRE_SECONDS = "clarion_accept_to_wire_seconds"
    BATCHES_LEASED = "clarion_batches_leased_total"
    LEASES_EXPIRED = "clarion_leases_expired_total"
    BATCHES_POISONED = "clarion_batches_poisoned_total"
    SHARDS_POISONED = "clarion_shards_poisoned_total"
    SHARDS_OVERTAKEN = "clarion_shards_overtaken_total"
    SHARDS_HELD = "clarion_shards_held"
    RETAINED_DROPPED = "clarion_retention_dropped_total"
    QUEUE_READY = "clarion_queue_ready_batches"
    QUEUE_OLDEST_SECONDS = "clarion_queue_oldest_seconds"
    TOKENS_REAPED = "clarion_tokens_reaped_total"
    CREDENTIALS_QUARANTINED = "clarion_credentials_quarantined"
    IMPORT_ROWS = "clarion_import_rows_total"
    EVENTS = "clarion_events_total"
    AUDIENCE_LAG_SECONDS = "clarion_audience_lag_seconds"
    PUSH_REQUESTS = "clarion_push_requests_total"
    PUSH_DELIVERED = "clarion_push_delivered_total"
    PUSH_RECEIPTS = "clarion_push_receipts_total"
    PUSH_CONNECTIONS = "clarion_push_connections"
    PUSH_FORGOTTEN = "clarion_push_devices_forgotten_total"
    HANDLER_FAILURES = "clarion_handler_failures_total"


_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

COUNTERS: Final[dict[Metric, MetricSpec]] = {
    Metric.HTTP_REQUESTS: MetricSpec("Requests answered.", ("route", "status")),
    Metric.HTTP_PROBLEMS: MetricSpec("Requests refused, by error code.", ("code",)),
    Metric.MESSAGES_ACCEPTED: MetricSpec("Messages accepted.", ("lane",)),
    Metric.RECIPIENTS_PLANNED: MetricSpec("Recipients planned.", ("network",)),
    Metric.OUTCOMES: MetricSpec("Recipients with a final outcome.", ("network", "outcome")),
    Metric.ATTEMPTS: MetricSpec("Pushes tried.", ("network", "verdict")),
    Metric.BATCHES_LEASED: MetricSpec("Pieces of work leased.", ("lane",)),
    Metric.LEASES_EXPIRED: MetricSpec("Leases that ran out and were taken back."),
    Metric.BATCHES_POISONED: MetricSpec("Batches set aside after too many tries."),
    Metric.SHARDS_POISONED: MetricSpec("Shards held because this version can't read them."),
    Metric.SHARDS_OVERTAKEN: MetricSpec(
        "Shards decided again because others were planned for the same people meanwhile."
    ),
    Metric.RETAINED_DROPPED: MetricSpec("Rows deleted because they were old enough.", ("what",)),
    Metric.TOKENS_REAPED: MetricSpec("Dead tokens made tombstones.", ("network",)),
    Metric.IMPORT_ROWS: MetricSpec("Rows imported or refused.", ("result",)),
    Metric.EVENTS: MetricSpec("Events recorded, repeated or refused.", ("result",)),
    Metric.PUSH_REQUESTS: MetricSpec(
        "Requests to our own push service: messages, and refusals by status.", ("kind",)
    ),
    Metric.PUSH_DELIVERED: MetricSpec(
        "What became of messages of our own push service.", ("result",)
    ),
    Metric.PUSH_RECEIPTS: MetricSpec(
        "Receipts of our own messages: recorded, or of devices that nobody knows any more.",
        ("result",),
    ),
    Metric.PUSH_FORGOTTEN: MetricSpec(
        "Devices of our own push service that ended, with their subscriptions, because they were "
        "away for push.devices_days."
    ),
    Metric.HANDLER_FAILURES: MetricSpec("Handlers that raised.", ("stage",)),
}
HISTOGRAMS: Final[dict[Metric, MetricSpec]] = {
    Metric.HTTP_SECONDS: MetricSpec("From request to answer.", ("route",), _FAST),
    Metric.SEND_SECONDS: MetricSpec("From a chunk's first byte to its commit.", ("lane",), _FAST),
    Metric.ACCEPT_TO_WIRE_SECONDS: MetricSpec(
        "From an urgent message's arrival to its first bytes' handing to a socket.",
        ("lane",),
        _FAST,
    ),
}
GAUGES: Final[dict[Metric, MetricSpec]] = {
    Metric.QUEUE_READY: MetricSpec("Batches that could be leased now.", ("lane",)),
    Metric.QUEUE_OLDEST_SECONDS: MetricSpec("Age of the oldest ready batch.", ("lane",)),
    Metric.AUDIENCE_LAG_SECONDS: MetricSpec(
        "Age that a change had, at most, before the audience's columns showed it."
    ),
    Metric.SHARDS_HELD: MetricSpec("Shards that wait for a version that can read them."),
    Metric.PUSH_CONNECTIONS: MetricSpec("Devices connected to our own push service."),
    Metric.CREDENTIALS_QUARANTINED: MetricSpec("Credentials in quarantine.", ("network",)),
}
