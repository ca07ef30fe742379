# ruff: noqa: INP001, T201, TID251  (a program on its own that prints and reads its environment)
"""Make a VAPID key pair on the platform, and show what a web page does with it.

Needs an admin key in CLARION_KEY; CLARION_URL is http://127.0.0.1:8080 unless set. A page gets a
key of scope `device`: it may register its browser, and nothing else.
"""

import json
import os
import urllib.request
from typing import Any

URL = os.environ.get("CLARION_URL", "http://127.0.0.1:8080")
KEY = os.environ["CLARION_KEY"]

PAGE = """\
const registration = await navigator.serviceWorker.register("/sw.js");
const subscription = await registration.pushManager.subscribe({{
  userVisibleOnly: true,
  applicationServerKey: "{public_key}",
}});
const {{ endpoint, keys }} = subscription.toJSON();
await fetch("{url}/v1/devices", {{
  method: "POST",
  headers: {{ Authorization: "Bearer {device_key}", "Content-Type": "application/json" }},
  body: JSON.stringify({{ network: "webpush", token: endpoint, keys, platform: "browser" }}),
}});
"""


def post(path: str, body: object) -> Any:  # noqa: ANN401
    """Post JSON."""
    request = urllib.request.Request(  # noqa: S310  (an address of our own)
        URL + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def main() -> None:
    """Make both keys and print the page's script."""
    vapid = post("/v1/credentials/webpush:generate", {"subject": "mailto:push@example.com"})
    device_key = post("/v1/keys", {"scope": "device", "name": "web page"})
    print(
        PAGE.format(public_key=vapid["public"]["public_key"], device_key=device_key["key"], url=URL)
    )


if __name__ == "__main__":
    main()
