"""From a request for a preview to what people would read, and where."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from clarion.api.decoding import free_form, refuse
from clarion.api.problems import FieldProblem, field_problem
from clarion.api.routing import Api
from clarion.api.shapes.templates import (
    PayloadView,
    PreviewBody,
    PreviewView,
    ReadingView,
    ShownView,
    VisibleView,
)
from clarion.api.wording import prepared
from clarion.domain.content import Content, Message, Wording
from clarion.domain.errors import FieldCode
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.registry import ByExternalId
from clarion.stages.authoring.preview import PLATFORMS, Shown, preview
from clarion.stages.authoring.sampling import Reading, Sample, made_up, read, sample_of

NETWORKS: Final = (Network.APNS, Network.FCM, Network.WEBPUSH)


def draft(app: AppId, id: MessageId, content: Content, wording: Wording | None) -> Message:  # noqa: A002  the message's own word
    """A message that is never sent."""
    words = wording or Wording(liquid=False)
    return Message(id=id, app=app, lane=Lane.CAMPAIGN, content=content, wording=words)


async def previewed(api: Api, app: AppId, message: Message, body: PreviewBody) -> PreviewView:
    """What the people and samples of a request would read; raises `ProblemError`."""
    refuse(
        [
            problem
            for at, sample in enumerate(body.samples)
            for problem in free_form(sample.values, f"/samples/{at}/values")
        ]
    )
    words = prepared(api, message, message.wording or Wording(liquid=False))
    now = api.deps.clock.now()
    refuse([found for variant in words.variants for found in _unwritable(api, variant, now)])
    people, unknown = await _people(api, app, body.users)
    samples = people + [
        made_up(sample.values, language=sample.language, time_zone=sample.time_zone)
        for sample in body.samples
    ]
    if not body.users and not body.samples:
        samples = [Sample(language=tag or None) for tag in words.languages]
    readings = read(words, samples, NETWORKS, now)
    platforms: Sequence[str] = body.platforms or list(PLATFORMS)
    return PreviewView([_reading(api, found, platforms) for found in readings], unknown)


def _unwritable(api: Api, variant: Message, now: datetime) -> Iterator[FieldProblem]:
    """What keeps a payload from being written at all; its length is shown, not refused."""
    for network in NETWORKS:
        provider = api.deps.providers[network]
        try:
            provider.outline(variant, now)
        except ValueError as error:
            told = provider.check_message(variant, now)
            yield from [field_problem(p.path, p.code, p.detail) for p in told] or [
                field_problem("/message", FieldCode.INVALID, str(error))
            ]


async def _people(api: Api, app: AppId, names: Sequence[str]) -> tuple[list[Sample], list[str]]:
    found: list[Sample] = []
    unknown: list[str] = []
    for name in names:
        person = await api.deps.people.get(app, ByExternalId(external_id=name))
        if person is None:
            unknown.append(name)
            continue
        devices = await api.deps.devices.of_person(app, person.id)
        latest = max(devices, key=lambda device: device.updated_at, default=None)
        found.append(sample_of(person, latest))
    return found, unknown


def network_of(platform: str) -> Network:
    """Which network brings notifications to a platform."""
    if platform.startswith("ios"):
        return Network.APNS
    return Network.FCM if platform.startswith("android") else Network.WEBPUSH


def _reading(api: Api, found: Reading, platforms: Sequence[str]) -> ReadingView:
    visible = {}
    for name in platforms:
        content = found.contents[network_of(name)]
        shown = preview(content, name, api.deps.words.clusters)
        visible[name] = VisibleView(
            title=_shown(shown.title),
            subtitle=_shown(shown.subtitle),
            body=_shown(shown.body),
            source=shown.source,
        )
    return ReadingView(
        user=found.sample.name,
        language=found.language or None,
        missing=list(found.missing),
        failed=found.failed,
        content=_content(found.contents[Network.APNS]),
        visible=visible,
        payloads={
            network.label: PayloadView(told.octets, told.limit, told.octets > told.limit)
            for network, told in found.payloads.items()
        },
    )


def _shown(text: Shown | None) -> ShownView | None:
    return None if text is None else ShownView(list(text.lines), text.cut)


def _content(content: Content) -> dict[str, object]:
    names = ("title", "subtitle", "body", "image", "icon", "link", "sound", "badge", "thread")
    told: dict[str, object] = {
        name: value for name in names if (value := getattr(content, name)) is not None
    }
    if content.data:
        told["data"] = dict(content.data)
    if content.actions:
        told["actions"] = [
            {"id": a.id, "title": a.title, "icon": a.icon, "link": a.link} for a in content.actions
        ]
    return told
