"""`clarion messages`: how far a message is, and holding, resuming or withdrawing it."""

from urllib.parse import quote

from cyclopts import App

from clarion.cli.connection import Json, asked
from clarion.cli.exits import Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.outcomes import by_network, reasons
from clarion.cli.output import OUT, number, print_json

app = App(name="messages", help="How far messages are; pause, resume and cancel them.")


@app.command
def status(
    message: str, *, url: ServerUrl = DEFAULT_URL, key: ApiKey = None, json: AsJson = False
) -> int:
    """Show how far a message is, and what became of it so far.

    Args:
        message: The message's id, as `clarion send` prints it.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    view = asked(url, key, lambda platform: platform.get(_path(message)))
    if json:
        print_json(view)
    else:
        show_status(view)
    return Exit.OK


@app.command
def pause(
    message: str, *, url: ServerUrl = DEFAULT_URL, key: ApiKey = None, json: AsJson = False
) -> int:
    """Hold a message; what is on the wire is finished.

    Args:
        message: The message's id.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    return _steer(message, "pause", url, key, as_json=json)


@app.command
def resume(
    message: str, *, url: ServerUrl = DEFAULT_URL, key: ApiKey = None, json: AsJson = False
) -> int:
    """Go on with a paused message.

    Args:
        message: The message's id.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    return _steer(message, "resume", url, key, as_json=json)


@app.command
def cancel(
    message: str, *, url: ServerUrl = DEFAULT_URL, key: ApiKey = None, json: AsJson = False
) -> int:
    """Withdraw a message: what was not sent yet is recorded as canceled.

    Args:
        message: The message's id.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    return _steer(message, "cancel", url, key, as_json=json)


def show_status(view: Json) -> None:
    """The state in a sentence, and the outcomes where there are any."""
    trouble = f": {view['trouble']}" if view["trouble"] else ""
    OUT.print(f"{view['id']} is {view['state']}{trouble}", markup=False, soft_wrap=True)
    done, recipients = view["progress"]["done"], view["progress"]["recipients"]
    if recipients:
        OUT.print(f"{number(done)} of {number(recipients)} recipients are done")
    elif view["state"] == "scheduled":
        at = str(view["send_at"]).replace("T", " ").rstrip("Z")
        OUT.print(f"It is due at {at[:19]} UTC", markup=False)
    if view["outcomes"]:
        OUT.print(by_network(view))
        OUT.print(reasons(view))


def _steer(message: str, what: str, url: str, key: str | None, *, as_json: bool) -> int:
    found = asked(url, key, lambda platform: platform.post(f"{_path(message)}:{what}", {}))
    if as_json:
        print_json(found)
    else:
        OUT.print(f"{found['id']} is {found['state']}", markup=False, soft_wrap=True)
    return Exit.OK


def _path(message: str) -> str:
    return f"/v1/messages/{quote(message, safe='')}"
