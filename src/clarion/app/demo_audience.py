"""A seeded, realistic audience: people of many countries and the devices they use."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.app.demo_rules import is_quiet, quiet_window
from clarion.providers.webpush.simulator import WebPushSimulator
from clarion.wire.jose import base64url_encode

Rows = list[pl.Series]
Ints = npt.NDArray[np.int64]

NETWORK_SHARES: Final = {"apns": 0.45, "fcm": 0.40, "webpush": 0.15}
OPTED_OUT: Final = 0.10
SECOND_DEVICE: Final = 0.30
THIRD_DEVICE: Final = 0.10
"""30 % of the people have two devices and 10 % three: 1.5 devices a person."""

PLACES: Final = (
    ("US", "America/New_York", "en", 120), ("US", "America/Chicago", "en", 75),
    ("US", "America/Denver", "en", 20), ("US", "America/Los_Angeles", "en", 65),
    ("US", "America/Phoenix", "es", 12), ("CA", "America/Toronto", "en", 22),
    ("CA", "America/Montreal", "fr", 8), ("CA", "America/Vancouver", "en", 9),
    ("MX", "America/Mexico_City", "es", 48), ("CO", "America/Bogota", "es", 20),
    ("AR", "America/Argentina/Buenos_Aires", "es", 24), ("CL", "America/Santiago", "es", 10),
    ("PE", "America/Lima", "es", 12), ("BR", "America/Sao_Paulo", "pt", 85),
    ("BR", "America/Manaus", "pt", 8), ("GB", "Europe/London", "en", 42),
    ("IE", "Europe/Dublin", "en", 4), ("PT", "Europe/Lisbon", "pt", 8),
    ("ES", "Europe/Madrid", "es", 30), ("FR", "Europe/Paris", "fr", 42),
    ("BE", "Europe/Brussels", "fr", 7), ("LU", "Europe/Luxembourg", "fr", 1),
    ("DE", "Europe/Berlin", "de", 56), ("AT", "Europe/Vienna", "de", 7),
    ("CH", "Europe/Zurich", "de", 6), ("IT", "Europe/Rome", "it", 36),
    ("TR", "Europe/Istanbul", "tr", 40),
    ("EG", "Africa/Cairo", "ar", 36), ("NG", "Africa/Lagos", "en", 34),
    ("KE", "Africa/Nairobi", "en", 14), ("ZA", "Africa/Johannesburg", "en", 20),
    ("SA", "Asia/Riyadh", "ar", 20), ("AE", "Asia/Dubai", "ar", 8),
    ("IN", "Asia/Kolkata", "en", 90), ("IN", "Asia/Kolkata", "hi", 60),
    ("ID", "Asia/Jakarta", "id", 60), ("SG", "Asia/Singapore", "en", 6),
    ("JP", "Asia/Tokyo", "ja", 60), ("KR", "Asia/Seoul", "ko", 30),
    ("AU", "Australia/Sydney", "en", 14), ("AU", "Australia/Perth", "en", 3),
    ("NZ", "Pacific/Auckland", "en", 5), ("NP", "Asia/Kathmandu", "en", 5),
)  # fmt: skip
"""Country, time zone, language, weight."""

_MODELS: Final = {
    "apns": (
        ("phone", "iOS", "26.1", "iPhone 17"), ("phone", "iOS", "26.0", "iPhone 15"),
        ("phone", "iOS", "18.6", "iPhone 13"), ("tablet", "iPadOS", "26.1", "iPad Air"),
        ("wearable", "watchOS", "26.1", "Apple Watch"),
    ),
    "fcm": (
        ("phone", "Android", "16", "Pixel 10"), ("phone", "Android", "15", "Galaxy S25"),
        ("phone", "Android", "14", "Redmi Note 14"), ("phone", "Android", "13", "Galaxy A54"),
        ("tablet", "Android", "15", "Galaxy Tab S10"),
    ),
    "webpush": (
        ("browser", "Windows", "11", "Chrome"), ("browser", "macOS", "26", "Safari"),
        ("browser", "Linux", "6.12", "Firefox"), ("browser", "Windows", "11", "Edge"),
    ),
}  # fmt: skip
"""Per network: platform, system, its version, model."""

_PLANS: Final = ("free", "plus", "pro")
_PLAN_SHARES: Final = (0.8, 0.15, 0.05)
_NAMED: Final = 0.9
"""So many people told their first name."""
_NAMES: Final = (
    "Ada", "Ahmed", "Aiko", "Ana", "Anna", "Asha", "Ben", "Carla", "Chen", "Chloé", "Daniel",
    "Diego", "Elif", "Emma", "Fatima", "Giulia", "Hana", "Ibrahim", "Inés", "Ivan", "Jörg",
    "João", "Kofi", "Lena", "Liam", "Lucía", "Marie", "Mehmet", "Min-jun", "Noah", "Omar",
    "Priya", "Ravi", "Sofía", "Søren", "Thandi", "Tomás", "Yara", "Zoë", "Łukasz",
)  # fmt: skip
OPTED_IN: Final = 0.70
WITHDREW: Final = 0.05
"""Of all people; they had opted in before."""
SLEEPERS: Final = 50
"""People who have quiet hours of their own, just now."""
_RECENT: Final = timedelta(days=29)
_VERSIONS: Final = ("7.4.0", "7.3.2", "7.3.1", "7.2.0", "6.9.5")
_ACTIVE_DAYS: Final = 12.0
"""Mean of the days since a device was last active."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audience:
    """People and devices, ready to be imported."""

    rows: pl.DataFrame
    """One row a device; what is said of a person stands on the first of their rows."""
    users: int
    subject: str
    """External id of somebody whom no rule stops, where there is one."""
    quiet: tuple[str, str]
    """The app's quiet hours: when they begin and end where people are."""
    consents: Sequence[pl.DataFrame]
    """`external_id`, `change`, `at`, `language`: those who opted in, then those who withdrew."""
    sleepers: Sequence[tuple[str, str]]
    """External id and time zone of people with quiet hours of their own; nothing else stops
    them."""


def make_audience(
    users: int, *, now: datetime, seed: int, push_service: str, endpoint_seed: int
) -> Audience:
    """Make an audience of `users` people with one and a half times as many devices.

    Args:
        users: how many people, at least 10.
        now: the instant before which devices were last active.
        seed: the same seed makes the same audience.
        push_service: the origin of the Web Push simulator.
        endpoint_seed: that simulator's seed.
    """
    chance = np.random.default_rng(seed)
    owner = _owners(users, chance)
    labels = np.array(list(NETWORK_SHARES))
    network = labels[chance.choice(3, len(owner), p=list(NETWORK_SHARES.values()))]
    opted_out = chance.random(users) < OPTED_OUT
    names = [_name(user) for user in owner.tolist()]
    frame = pl.DataFrame({"external_id": names, "network": network})
    frame = frame.with_columns(
        *_persons(owner, opted_out, chance),
        *_addresses(network, push_service, endpoint_seed, chance),
        *_hardware(network, chance),
        *_activity(len(owner), now, chance),
    )
    first = frame.filter(pl.col("user_country").is_not_null())
    answers = chance.random(users)
    quiet = quiet_window(now, Counter(first["time_zone"].to_list()))
    free = _unstopped(first.filter(pl.Series(answers < OPTED_IN - WITHDREW)), quiet, now)
    return Audience(
        rows=frame,
        users=users,
        subject=free[0][0] if free else _name(0),
        quiet=quiet,
        consents=_consents(first, answers, now),
        sleepers=free[1 : 1 + min(SLEEPERS, len(free) // 4)],
    )


def _consents(
    first: pl.DataFrame, answers: npt.NDArray[np.float64], now: datetime
) -> Sequence[pl.DataFrame]:
    """What people said about marketing, as two files in order of time."""
    people = first.select("external_id", pl.col("user_language").alias("language"))
    said = {"granted": now - timedelta(days=200), "withdrawn": now - timedelta(days=20)}
    chosen = answers < OPTED_IN, (answers >= OPTED_IN - WITHDREW) & (answers < OPTED_IN)
    return [
        people.filter(pl.Series(mask)).with_columns(
            pl.lit(change).alias("change"), pl.lit(at.isoformat()).alias("at")
        )
        for (change, at), mask in zip(said.items(), chosen, strict=True)
    ]


def _unstopped(
    granted: pl.DataFrame, quiet: tuple[str, str], now: datetime
) -> list[tuple[str, str]]:
    """External ids and zones of iPhone owners who opted in, whom no rule stops at this moment."""
    since = (now - _RECENT).strftime("%Y-%m-%dT%H:%M:%SZ")
    awake = [zone for _, zone, _, _ in PLACES if not is_quiet(now, zone, quiet)]
    attributes = pl.col("user_attributes").struct
    found = granted.filter(
        ~pl.col("user_opted_out"),
        pl.col("network") == "apns",
        pl.col("last_active_at") > since,
        pl.col("time_zone").is_in(awake),
        attributes.field("orders") >= 1,
        attributes.field("plan") != "pro",
        attributes.field("first_name").is_not_null(),
    )
    return found.select("external_id", "time_zone").rows()


def _name(user: int) -> str:
    return f"user-{user:07d}"


def _owners(users: int, chance: np.random.Generator) -> Ints:
    """The person of each device; a person's devices stand together."""
    shuffled = chance.permutation(users)
    third = int(users * THIRD_DEVICE)
    count = np.ones(users, np.int64)
    count[shuffled[: int(users * SECOND_DEVICE)]] = 2
    count[shuffled[len(shuffled) - third :]] = 3
    return np.repeat(np.arange(users), count)


def _persons(owner: Ints, opted_out: npt.NDArray[np.bool_], chance: np.random.Generator) -> Rows:
    """What is known of people: where they live, their language, what they have done."""
    users = len(opted_out)
    weights = np.array([weight for *_, weight in PLACES], np.float64)
    place = chance.choice(len(PLACES), users, p=weights / weights.sum())[owner]
    country, zone, language = (np.array([p[part] for p in PLACES])[place] for part in range(3))
    here = pl.DataFrame({"country": country, "time_zone": zone, "language": language})
    person = here.rename(lambda name: f"user_{name}").with_columns(
        pl.Series("user_opted_out", opted_out[owner]),
        pl.struct(
            pl.lit(
                pl.Series(np.array(_PLANS)[chance.choice(3, users, p=_PLAN_SHARES)][owner])
            ).alias("plan"),
            pl.lit(pl.Series(chance.poisson(3.0, users)[owner])).alias("orders"),
            pl.lit(pl.Series(_first_names(users, chance)[owner].tolist(), dtype=pl.String)).alias(
                "first_name"
            ),
        ).alias("user_attributes"),
    )
    first = pl.Series(np.r_[True, owner[1:] != owner[:-1]])
    once = person.select(pl.when(first).then(pl.col(name)).alias(name) for name in person.columns)
    return [*once.get_columns(), *here.get_columns()]


def _first_names(users: int, chance: np.random.Generator) -> npt.NDArray[np.object_]:
    found = np.array(_NAMES, object)[chance.integers(0, len(_NAMES), users)]
    found[chance.random(users) >= _NAMED] = None
    return found


def _addresses(
    network: npt.NDArray[np.str_], push_service: str, seed: int, chance: np.random.Generator
) -> Rows:
    """Tokens in the form of each network, and keys of Web Push subscriptions."""
    token = np.empty(len(network), object)
    p256dh, auth = np.full(len(network), None, object), np.full(len(network), None, object)
    apple, google, web = (np.flatnonzero(network == label) for label in NETWORK_SHARES)
    octets = chance.bytes(32 * len(apple)).hex()
    token[apple] = [octets[64 * n : 64 * n + 64] for n in range(len(apple))]
    text = base64url_encode(chance.bytes(117 * len(google)))
    token[google] = [
        f"{text[156 * n : 156 * n + 22]}:APA91b{text[156 * n + 22 : 156 * n + 156]}"
        for n in range(len(google))
    ]
    subscriptions = WebPushSimulator(seed=seed).subscribe(len(web), push_service)
    token[web] = [subscription.endpoint for subscription in subscriptions]
    p256dh[web] = [base64url_encode(s.receiver.public) for s in subscriptions]
    auth[web] = [base64url_encode(s.receiver.auth) for s in subscriptions]
    environment = np.where(network == "apns", "production", "")
    return [
        pl.Series("token", token.tolist(), pl.String),
        pl.Series("p256dh", p256dh.tolist(), pl.String),
        pl.Series("auth", auth.tolist(), pl.String),
        pl.Series("environment", [text or None for text in environment.tolist()], pl.String),
    ]


def _registration(text: str) -> str:
    """FCM's form of a registration token: an installation id, a colon, and an opaque part."""
    return f"{text[:22]}:APA91b{text[22:]}"


def _hardware(network: npt.NDArray[np.str_], chance: np.random.Generator) -> Rows:
    pick = chance.random(len(network)) ** 1.5
    columns = {
        name: np.empty(len(network), object) for name in ("platform", "os", "os_version", "model")
    }
    for label, models in _MODELS.items():
        rows = np.flatnonzero(network == label)
        chosen = (pick[rows] * len(models)).astype(np.int64)
        for place, column in enumerate(columns.values()):
            column[rows] = np.array([model[place] for model in models], object)[chosen]
    return [pl.Series(name, column.tolist(), pl.String) for name, column in columns.items()]


def _activity(devices: int, now: datetime, chance: np.random.Generator) -> Rows:
    ago = (chance.exponential(_ACTIVE_DAYS * 86_400, devices) * 1e6).astype(np.int64)
    at = np.full(devices, int(now.timestamp() * 1e6)) - ago
    version = np.array(_VERSIONS)[(chance.random(devices) ** 2 * len(_VERSIONS)).astype(np.int64)]
    instants = pl.Series("last_active_at", at).cast(pl.Datetime("us"))
    return [instants.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), pl.Series("app_version", version)]
