"""What messages are written with, put together: the template engine, languages, tracked links.

Apart from the container, because only the API and planners need the engine's libraries.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping

from clarion.adapters.content.graphemes import clusters
from clarion.adapters.content.liquid import LiquidEngine
from clarion.app.container import Container
from clarion.app.settings import SettingsError
from clarion.stages.authoring.preparing import Links, Renderer, Tools

_PURPOSE = b"clarion tracked links 1"
_WEB = re.compile(r"https?://[^\s?#]+")


def link_keys(master_key: bytes) -> Mapping[int, bytes]:
    """The keys of tracked links by their ids, the same in every process of an installation."""
    return {1: hmac.digest(master_key, _PURPOSE, hashlib.sha256)}


def tools(container: Container) -> Tools:
    """What a renderer needs.

    Raises:
        SettingsError: the public address is none.
    """
    address = container.settings.server.public_url
    if address is not None and not _WEB.fullmatch(address):
        raise SettingsError(["server.public_url: an address such as https://push.example.org"])
    return Tools(
        engine=LiquidEngine(),
        clusters=clusters,
        providers=container.providers,
        links=None
        if address is None
        else Links(base=address.rstrip("/"), keys=link_keys(container.master_key)),
        http_hosts=frozenset(map(str.lower, container.settings.server.http_link_hosts)),
    )


def renderer(container: Container) -> Renderer:
    """The words of messages for a planner, or for the urgent path."""
    return Renderer(tools(container))
