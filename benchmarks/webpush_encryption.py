"""Web Push encryption on one core, against the limit that OpenSSL itself sets.

Encrypting with a fresh key per message (RFC 8291 section 3.1) cannot cost less than one P-256
key generation and one ECDH. The limit is taken from two measurements on the same machine:

- ECDH: `openssl speed -seconds 1 ecdhp256`, operations per second of the OpenSSL in the PATH;
- key generation: `cryptography`'s `generate_private_key`, since `openssl speed` has no such test
  for P-256 before version 3.2. It runs in the OpenSSL that our wheel carries.

    limit = 1 / (1 / ECDH per second + seconds per key generation)

Both and our own code are measured in turns, and the best turn of each is taken, so that a busy
neighbour hurts none of them more than the others. Ours is CPU time of this process.

`python -m benchmarks.webpush_encryption [--quick] [--json]` prints one JSON object.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives.asymmetric import ec

from clarion.wire import webpush
from clarion.wire.webpush import KeptSenderKey, ReceiverKey, SenderKey, SubscriptionKeys

PLAINTEXT = b'{"title":"Your parcel is here","body":"Locker 12, code 4711","tag":"parcel-1"}'
SUBSCRIPTIONS = 500
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CURVE = ec.SECP256R1()


class Measurement(TypedDict):
    """What every benchmark of this folder returns."""

    figures: dict[str, float]
    ratios: dict[str, float]
    peers: dict[str, str]


def openssl_ecdh_per_s() -> float | None:
    """Ask the OpenSSL in the PATH for its ECDH rate on P-256; None if there is none."""
    if shutil.which("openssl") is None:
        return None
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
    return float(found[1])


def openssl_version() -> str:
    """Name the OpenSSL in the PATH."""
    if shutil.which("openssl") is None:
        return "missing"
    return subprocess.run(
        ["openssl", "version"], capture_output=True, check=True, text=True, timeout=10
    ).stdout.strip()


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process for one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def generate_keys(count: int) -> None:
    """Generate keys and forget them."""
    for _ in range(count):
        ec.generate_private_key(CURVE)


def measure(*, quick: bool) -> Measurement:
    """Measure fresh-key and kept-key encryption and the limit, in turns.

    Args:
        quick: three turns of a second or two rather than seven.

    Returns:
        figures in messages per CPU second and microseconds, `encrypt_vs_openssl_limit` (higher
        is better, 1.0 is the limit) and the versions that took part.
    """
    receivers = [ReceiverKey.generate(bytes(16)) for _ in range(SUBSCRIPTIONS)]
    keys = [receiver.subscription for receiver in receivers]
    p256dh = b"".join(receiver.public for receiver in receivers)
    auth = b"".join(receiver.auth for receiver in receivers)
    salts = b"".join(row.to_bytes(16, "big") for row in range(SUBSCRIPTIONS))
    kept = KeptSenderKey(SenderKey.generate(), made_at=NOW, lifetime=timedelta(hours=1))

    def fresh() -> list[bytes]:
        return webpush.encrypt_batch(PLAINTEXT, keys, salts)

    def fresh_from_columns() -> list[bytes]:
        return webpush.encrypt_batch(PLAINTEXT, SubscriptionKeys.from_columns(p256dh, auth), salts)

    def remembered() -> list[bytes]:
        return webpush.encrypt_batch_kept(
            PLAINTEXT, SubscriptionKeys.from_columns(p256dh, auth), salts, sender=kept, now=NOW
        )

    for work in (fresh, fresh_from_columns, remembered):  # warm, and prove that it decrypts
        for body, receiver in zip(work(), receivers, strict=True):
            assert webpush.decrypt(body, receiver) == PLAINTEXT

    turns: dict[str, list[float]] = {"fresh": [], "columns": [], "kept": [], "keygen": []}
    ecdh: list[float] = []
    for _ in range(3 if quick else 7):
        rate = openssl_ecdh_per_s()
        if rate is not None:
            ecdh.append(rate)
        for _ in range(3):
            turns["keygen"].append(cpu_s(lambda: generate_keys(SUBSCRIPTIONS)) / SUBSCRIPTIONS)
            turns["fresh"].append(cpu_s(fresh) / SUBSCRIPTIONS)
            turns["columns"].append(cpu_s(fresh_from_columns) / SUBSCRIPTIONS)
            turns["kept"].append(cpu_s(remembered) / SUBSCRIPTIONS)
    best = {name: min(times) for name, times in turns.items()}
    figures = {
        "encrypt_messages_per_cpu_s": 1 / best["fresh"],
        "encrypt_from_columns_messages_per_cpu_s": 1 / best["columns"],
        "encrypt_kept_sender_key_messages_per_cpu_s": 1 / best["kept"],
        "encrypt_us": best["fresh"] * 1e6,
        "keygen_us": best["keygen"] * 1e6,
    }
    ratios: dict[str, float] = {}
    if ecdh:
        limit = 1 / (1 / max(ecdh) + best["keygen"])
        figures["openssl_ecdh_us"] = 1e6 / max(ecdh)
        figures["openssl_limit_messages_per_cpu_s"] = limit
        ratios["encrypt_vs_openssl_limit"] = figures["encrypt_messages_per_cpu_s"] / limit
        ratios["encrypt_from_columns_vs_openssl_limit"] = (
            figures["encrypt_from_columns_messages_per_cpu_s"] / limit
        )
    return {
        "figures": figures,
        "ratios": ratios,
        "peers": {
            "openssl": openssl_version(),
            "openssl_in_cryptography": backend.openssl_version_text(),
        },
    }


def main() -> None:
    """Measure and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description="Web Push encryption against OpenSSL's limit")
    parser.add_argument("--quick", action="store_true", help="three turns instead of seven")
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    options = parser.parse_args()
    measured = measure(quick=options.quick)
    if not options.json:
        for name, value in (measured["figures"] | measured["ratios"]).items():
            print(f"{name:48} {value:12.2f}", file=sys.stderr)
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }
    print(json.dumps({"benchmark": "webpush_encryption"} | measured | {"machine": machine}))


if __name__ == "__main__":
    main()
