"""The push service's process: connections of devices, and what senders post."""

import asyncio
import resource
import socket
from dataclasses import replace
from datetime import timedelta

from clarion.adapters.state.push_devices import PostgresPushDevices
from clarion.adapters.state.push_messages import PostgresPushMessages, PostgresPushReceipts
from clarion.adapters.state.push_nodes import PostgresPushNodes
from clarion.app.address import own_origins, push_origin
from clarion.app.foundation import Foundation
from clarion.app.push_room import files_allowed, room_for
from clarion.app.setting_push import Push
from clarion.app.settings import SettingsError
from clarion.pushservice.limits import PushLimits
from clarion.pushservice.node import NodePorts, NodeSettings, serve_node


async def run_push(below: Foundation, owner: str, stop: asyncio.Event) -> None:
    """Serve as one node of the push service."""
    settings = below.settings
    push, pool = settings.push, below.pool
    ports = NodePorts(
        clock=below.clock,
        chance=below.chance,
        devices=PostgresPushDevices(pool, subscriptions_per_device=push.subscriptions),
        messages=PostgresPushMessages(pool, waiting_per_subscription=push.waiting),
        receipts=PostgresPushReceipts(pool),
        nodes=PostgresPushNodes(pool),
        metrics=below.metrics,
        master_key=below.master_key,
    )
    node = NodeSettings(
        owner=owner,
        origin=push_origin(settings),
        limits=_limits(push),
        most_connections=room_for(push, _files()),
        trusted_proxies=frozenset(settings.server.trusted_proxies),
        allowed_origins=own_origins(settings).union(push.allowed_origins),
        devices_kept=timedelta(days=push.devices_days),
    )
    await serve_node(ports, node, _listener(push), stop)


def _limits(push: Push) -> PushLimits:
    return replace(
        PushLimits(),
        max_body=push.max_body,
        max_ttl_s=push.max_ttl_s,
        commit_every_s=push.commit_every_s,
        connections_per_address=push.connections_per_address,
        subscription_per_s=push.rate_subscription_per_s,
        subscription_burst=max(1, int(10 * push.rate_subscription_per_s)),
        origin_per_s=push.rate_sender_per_s,
        origin_burst=max(1, int(2 * push.rate_sender_per_s)),
    )


def _listener(push: Push) -> socket.socket:
    family = socket.AF_INET6 if ":" in push.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if push.processes > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((push.host, push.port))
    except OSError as error:
        listener.close()
        problem = (
            f"push.port: {push.host}:{push.port} can't be listened on ({error.strerror}); choose "
            "another port with CLARION_PUSH_PORT (0 takes a free one), or run no push service "
            "with CLARION_PUSH_PROCESSES=0"
        )
        raise SettingsError([problem]) from error
    return listener


def _files() -> int:
    """Take as many open files as there are to be had."""
    files = files_allowed()
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    return files
