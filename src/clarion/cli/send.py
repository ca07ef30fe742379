"""`clarion send`: a message from the command line."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from clarion.cli.connection import Connection, Json
from clarion.cli.exits import Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.outcomes import by_network, follow, reasons
from clarion.cli.output import ERR, OUT, print_json, progress
from clarion.cli.send_options import Content, Recipients
from clarion.cli.send_options import body as message_body


def send(
    *,
    to: Annotated[Recipients | None, Parameter(name="*")] = None,
    content: Annotated[Content | None, Parameter(name="*")] = None,
    wait: Annotated[bool, Parameter(negative=())] = False,
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Send a message to people, devices, or everybody.

    For instance: `clarion send --to ada --title "Hello" --body "It works." --wait`

    Args:
        to: Whom.
        content: What.
        wait: Wait until it has ended or is paused, and show what became of it; exit code 1 when it
            reached nobody.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    body = message_body(to or Recipients(), content or Content())
    return asyncio.run(_send(Connection(url, key), body, wait=wait, as_json=json))


async def _send(connection: Connection, body: Json, *, wait: bool, as_json: bool) -> int:
    async with connection:
        accepted = await connection.post("/v1/messages", body)
        message = str(accepted["id"])
        if not wait:
            if as_json:
                print_json(accepted)
            else:
                OUT.print(f"{message}", markup=False)
                ERR.print(f"{accepted['state']}, lane {accepted['lane']}")
            return Exit.OK
        await _watch(connection, message)
        view = await connection.get(f"/v1/messages/{message}")
    if as_json:
        print_json(view)
    else:
        trouble = f": {view['trouble']}" if view["trouble"] else ""
        OUT.print(f"{message} is {view['state']}{trouble}", markup=False, soft_wrap=True)
        OUT.print(by_network(view))
        OUT.print(reasons(view))
    return Exit.OK if view["by_outcome"].get("accepted") else Exit.FINDINGS


async def _watch(connection: Connection, message: str) -> None:
    told: str | None = None
    with progress() as bar:
        task = bar.add_task("sending", total=None, note="")

        def show(seen: Json) -> None:
            nonlocal told
            if seen["trouble"] and seen["trouble"] != told:
                ERR.print(f"waiting: {seen['trouble']}", markup=False, soft_wrap=True)
            told = seen["trouble"]
            note = f"{seen['retried']} retried" if seen["retried"] else ""
            bar.update(task, completed=seen["done"], total=seen["recipients"] or None, note=note)

        await follow(connection, message, show)
