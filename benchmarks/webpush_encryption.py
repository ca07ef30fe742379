"""Web Push encryption on one core, against the limit that OpenSSL itself sets.

Encrypting with a fresh key per message (RFC 8291 section 3.1) cannot cost less than one P-256
key generation and one ECDH. The limit is taken from two measurements on the same machine:

- ECDH: `openssl speed -seconds 1 ecdhp256`, operations per second of the OpenSSL in the PATH;
- key generation: `cryptography`'s `generate_private_key`, since `openssl speed` has no such test
  for P-256 before version 3.2. It runs in the OpenSSL that our wheel carries.

    limit = 1 / (1 / ECDH per second + seconds per key generation)

Both and our own code are measured in turns, and the median of each is taken. Ours is the CPU
time of this process and starts from what the registry stores, columns of raw key octets, so
that reading each point and proving it to be on the curve is part of the message's cost.

`python -m benchmarks.webpush_encryption [--quick]` prints one JSON object.
"""

import argparse
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypedDict

from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks import harness
from clarion.wire import webpush
from clarion.wire.jose import base64url_encode
from clarion.wire.webpush import KeptSenderKey, ReceiverKey, SenderKey, SubscriptionKeys

PLAINTEXT = b'{"title":"Your parcel is here","body":"Locker 12, code 4711","tag":"parcel-1"}'
SUBSCRIPTIONS = 500
TURN_S = 0.5
"""CPU seconds that each of our measurements takes in a turn."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CURVE = ec.SECP256R1()


class Measurement(TypedDict):
    """What a part of a benchmark hands to the whole."""

    figures: dict[str, float]
    ratios: dict[str, float]
    peers: dict[str, str | None]


def openssl_ecdh_s() -> float:
    """Seconds per ECDH on P-256 in the OpenSSL in the PATH, by its own `speed`."""
    done = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "ecdhp256"],
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    found = re.search(r"ecdh \(nistp256\)\s+[0-9.]+s\s+([0-9.]+)", done.stdout)
    if found is None:
        raise RuntimeError(f"openssl speed printed no ECDH rate: {done.stdout!r}")
    return 1 / float(found[1])


def openssl_version() -> str | None:
    """Name the OpenSSL in the PATH; None if there is none."""
    if harness.program("openssl") is None:
        return None
    done = subprocess.run(
        ["openssl", "version"], capture_output=True, check=True, text=True, timeout=10
    )
    return done.stdout.strip()


def generate_keys() -> None:
    """Generate keys and forget them."""
    for _ in range(SUBSCRIPTIONS):
        ec.generate_private_key(CURVE)


def cpu_s_each(work: Callable[[], object]) -> float:
    """CPU seconds per message, over batches that together take a turn."""
    batches = 0
    start = now = time.process_time()
    while now - start < TURN_S:
        work()
        batches += 1
        now = time.process_time()
    return (now - start) / batches / SUBSCRIPTIONS


def workloads() -> dict[str, Callable[[], list[bytes]]]:
    """Prepare our three ways to encrypt a batch, each proven to decrypt."""
    receivers = [ReceiverKey.generate(row.to_bytes(16, "big")) for row in range(SUBSCRIPTIONS)]
    p256dh = b"".join(receiver.public for receiver in receivers)
    auth = b"".join(receiver.auth for receiver in receivers)
    salts = b"".join(row.to_bytes(16, "big") for row in range(SUBSCRIPTIONS))
    parsed = [
        SubscriptionKeys.parse(base64url_encode(receiver.public), base64url_encode(receiver.auth))
        for receiver in receivers
    ]
    kept = KeptSenderKey(SenderKey.generate(), made_at=NOW, lifetime=timedelta(hours=1))

    def fresh() -> list[bytes]:
        return webpush.encrypt_batch(PLAINTEXT, SubscriptionKeys.from_columns(p256dh, auth), salts)

    def fresh_parsed() -> list[bytes]:
        return webpush.encrypt_batch(PLAINTEXT, parsed, salts)

    def remembered() -> list[bytes]:
        return webpush.encrypt_batch_kept(
            PLAINTEXT, SubscriptionKeys.from_columns(p256dh, auth), salts, sender=kept, now=NOW
        )

    works = {"fresh": fresh, "fresh_parsed": fresh_parsed, "kept": remembered}
    for work in works.values():
        for body, receiver in zip(work(), receivers, strict=True):
            assert webpush.decrypt(body, receiver) == PLAINTEXT
    return works


def measure(*, quick: bool) -> Measurement:
    """Measure fresh-key and kept-key encryption and the limit, in turns.

    Args:
        quick: three turns rather than nine, each about three seconds.

    Returns:
        Figures in messages per CPU second and in microseconds; `encrypt_vs_openssl_limit` (1.0 is
        the limit), and the same with points that were parsed before; the versions.
    """
    version = openssl_version()
    runs: dict[str, Callable[[], float]] = {
        name: partial(cpu_s_each, work) for name, work in workloads().items()
    }
    runs["keygen"] = partial(cpu_s_each, generate_keys)
    if version is not None:
        runs["ecdh"] = openssl_ecdh_s
    each = harness.median_of_rounds(runs, 3 if quick else 9)
    figures = {
        "encrypt_messages_per_cpu_s": 1 / each["fresh"],
        "encrypt_parsed_keys_messages_per_cpu_s": 1 / each["fresh_parsed"],
        "encrypt_kept_sender_key_messages_per_cpu_s": 1 / each["kept"],
        "encrypt_us": each["fresh"] * 1e6,
        "keygen_us": each["keygen"] * 1e6,
    }
    ratios: dict[str, float] = {}
    if version is not None:
        limit_s = each["ecdh"] + each["keygen"]
        figures["openssl_ecdh_us"] = each["ecdh"] * 1e6
        figures["openssl_limit_messages_per_cpu_s"] = 1 / limit_s
        ratios["encrypt_vs_openssl_limit"] = limit_s / each["fresh"]
        ratios["encrypt_parsed_keys_vs_openssl_limit"] = limit_s / each["fresh_parsed"]
    return {
        "figures": figures,
        "ratios": ratios,
        "peers": {
            "openssl": version,
            "openssl_in_cryptography": backend.openssl_version_text(),
        },
    }


def main() -> None:
    """Measure and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description="Web Push encryption against OpenSSL's limit")
    parser.add_argument("--quick", action="store_true", help="three turns instead of nine")
    parser.add_argument("--json", action="store_true", help="accepted; the line is always JSON")
    options = parser.parse_args()
    harness.emit("webpush_encryption", **measure(quick=options.quick))


if __name__ == "__main__":
    main()
