"""`clarion replay`: who would have been treated differently under other rules."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import orjson
import yaml
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from clarion.cli.connection import Connection, Json
from clarion.cli.exits import CommandError, Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.output import OUT, number, print_json
from clarion.cli.trace import segment_lines

MAX_OCTETS: Final = 256 * 1024


def replay(
    message: str,
    *,
    with_: Annotated[Path, Parameter(name="--with", negative=())],
    samples: int = 5,
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Decide again about everybody who was considered for a message, under other rules.

    Args:
        message: The message's id, as `clarion send` prints it.
        with_: YAML or JSON file with what changes of the rules; what is left out stays.
        samples: So many people are shown with both decisions (0 to 20).
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    body = {"policy": read_policy(with_), "samples": samples}
    found = asyncio.run(_replay(Connection(url, key), message, body))
    if json:
        print_json(found)
    else:
        show(found)
    return Exit.OK


async def _replay(connection: Connection, message: str, body: Json) -> Json:
    async with connection:
        return await connection.post(f"/v1/messages/{quote(message, safe='')}/replay", body)


_TAG: Final = "tag:yaml.org,2002:"
_WORD: Final = re.compile(r"(?:true|false)\Z")
_NOTHING: Final = re.compile(r"(?:null|~|)\Z")
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z")
_REAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_FORMS: Final = {
    **{key: [(f"{_TAG}bool", _WORD)] for key in "tf"},
    **{key: [(f"{_TAG}null", _NOTHING)] for key in ("n", "~", "")},
    **{key: [(f"{_TAG}int", _WHOLE), (f"{_TAG}float", _REAL)] for key in "-0123456789"},
}
"""First letter -> what a plain word may be, as in JSON: `22:00` and dates are texts, where YAML 1.1
would read a number in base sixty."""


def read_policy(file: Path) -> Json:
    """The changes in a file of YAML, of which JSON is a part. Raises `CommandError`."""
    try:
        text = file.read_bytes()
        if len(text) > MAX_OCTETS or b"&" in text:  # anchors: a short text can mean a long one
            raise CommandError(f"--with {file} is no set of rules: too long, or it has anchors")
        loader = yaml.SafeLoader(text)
        loader.yaml_implicit_resolvers = _FORMS
        found = loader.get_single_data()
        orjson.dumps(found)
    except OSError as error:
        raise CommandError(f"--with {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, RecursionError) as error:
        raise CommandError(f"--with {file} is not YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CommandError(f"--with {file} must hold the rules' fields, such as `caps:`")
    return found


def show(found: Json) -> None:
    """How many would have been treated differently, how, and some of them in words."""
    changed, considered = number(found["changed"]), number(found["considered"])
    OUT.print(f"{changed} of {considered} would have been treated differently")
    for line in segment_lines(found):
        OUT.print(escape(line), soft_wrap=True)
    if not found["moves"]:
        return
    table = Table("was", "would be", "devices")
    table.columns[2].justify = "right"
    for move in found["moves"]:
        table.add_row(_told(move["before"]), _told(move["after"]), number(move["count"]))
    OUT.print(table)
    for one in found["samples"]:
        who = escape(one["external_id"] or f"user {one['user']}")
        OUT.print(f"[bold]{who}[/]", soft_wrap=True)
        OUT.print(f"  then: {escape(one['explanation_before'])}", soft_wrap=True)
        OUT.print(f"  now:  {escape(one['explanation_after'])}", soft_wrap=True)


def _told(verdict: Json) -> str:
    if verdict["reason"] == "accepted":
        return str(verdict["action"])
    return f"{verdict['action']}: {str(verdict['reason']).replace('_', ' ')}"
