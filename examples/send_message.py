# ruff: noqa: INP001, T201, TID251  (a program on its own that prints and reads its environment)
"""Register a device, send a message, and wait for its outcome, with the standard library alone.

Needs CLARION_KEY; CLARION_URL is http://127.0.0.1:8080 unless set.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

URL = os.environ.get("CLARION_URL", "http://127.0.0.1:8080")
KEY = os.environ["CLARION_KEY"]


def call(method: str, path: str, body: object = None, **headers: str) -> Any:  # noqa: ANN401
    """One request; prints the problem (RFC 9457) and ends when the server refuses."""
    request = urllib.request.Request(  # noqa: S310  (an address of our own)
        URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"} | headers,
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        raise SystemExit(f"{problem['code']}: {problem['detail']}") from error


def main() -> None:
    """Say hello to Grace."""
    device = call(
        "POST",
        "/v1/devices",
        {
            "network": "fcm",
            "token": "grace-phone",
            "external_id": "grace",
            "platform": "phone",
            "model": "Pixel 10",
            "attributes": {"plan": "pro"},
        },
    )
    print(f"device {device['id']} of user {device['user']}")

    # The key makes a retry harmless: the same key and body are answered as the first time.
    message = call(
        "POST",
        "/v1/messages",
        {
            "to": {"users": ["grace"]},
            "title": "Your parcel has arrived",
            "body": "It waits at the front desk.",
            "link": "https://example.com/parcels/42",
            "ttl": 3600,
        },
        **{"Idempotency-Key": f"parcel-42-{time.time_ns()}"},
    )
    print(f"message {message['id']} is {message['state']} in lane {message['lane']}")

    state = message["state"]
    while state not in {"finished", "canceled"}:
        time.sleep(0.1)
        state = call("GET", f"/v1/messages/{message['id']}")["state"]

    trace = call("GET", f"/v1/messages/{message['id']}/recipients/grace")
    for attempt in trace["attempts"]:
        print(f"{attempt['network']}: {attempt['outcome']} ({attempt['reason']})")


if __name__ == "__main__":
    main()
