# ruff: noqa: INP001, T201, TID251  (a program on its own that prints and reads its environment)
"""Import devices from a CSV file: good rows go in, bad ones are reported by line.

Needs CLARION_KEY; CLARION_URL is http://127.0.0.1:8080 unless set.
"""

import json
import os
import urllib.request

URL = os.environ.get("CLARION_URL", "http://127.0.0.1:8080")
KEY = os.environ["CLARION_KEY"]

FILE = """\
external_id,network,token,platform,language,time_zone
lin,fcm,lin-phone,phone,zh-Hant,Asia/Taipei
omar,fcm,omar-phone,phone,ar,Africa/Cairo
nobody,pigeon,coo,phone,en,Europe/London
"""


def main() -> None:
    """Import the file, and import it again: that changes nothing more."""
    for _ in range(2):
        request = urllib.request.Request(  # noqa: S310  (an address of our own)
            f"{URL}/v1/imports",
            data=FILE.encode(),
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "text/csv"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            done = json.load(answer)
        print(f"{done['rows_in']} of {done['rows_read']} rows are in")
        for bad in done["bad"]:
            print(f"line {bad['line']}, {bad['field']}: {bad['detail']}")


if __name__ == "__main__":
    main()
