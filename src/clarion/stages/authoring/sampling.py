"""What single people would read: words rendered for samples, and for real people as they are now.

The same rendering as planning's, row by row, so that each sample says what it misses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np
import orjson
import polars as pl

from clarion.domain.content import Action, Content, Json
from clarion.domain.handoffs import merge_column
from clarion.domain.merge import filled
from clarion.domain.network import Network
from clarion.ports.registry import DeviceRecord, PersonRecord
from clarion.ports.rendering import Moment
from clarion.stages.authoring.preparing import Prepared
from clarion.stages.authoring.reading import scan_field


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Somebody to render for."""

    name: str | None = None
    """External id; None for somebody made up."""
    language: str | None = None
    time_zone: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    """Field of a scan -> value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """A sample's payload on one network."""

    octets: int
    limit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one sample reads."""

    sample: Sample
    language: str
    """Tag of the variant; empty for the message's own, where it does not say."""
    contents: Mapping[Network, Content]
    """They differ only where a body was cut."""
    missing: Sequence[str]
    """Variables without a value, under a policy that minds."""
    failed: str | None
    """Why a template can't be rendered."""
    payloads: Mapping[Network, Payload]


_KNOWN_DEVICE: Final = ("platform", "os", "os_version", "model", "app_version")
_KNOWN_BOTH: Final = ("language", "time_zone", "country")


def sample_of(person: PersonRecord, device: DeviceRecord | None) -> Sample:
    """A person as a scan would read them, on a device of theirs."""
    fields: dict[str, Json] = {
        "external_id": person.external_id,
        "created": _time(person.created_at),
        "opted_out": person.opted_out,
    }
    fields |= {f"user.{name}": getattr(person, name) for name in _KNOWN_BOTH}
    fields |= {f"tag.{name}": _plain(value) for name, value in person.attributes.items()}
    if device is not None:
        fields |= {name: getattr(device, name) for name in _KNOWN_DEVICE}
        fields |= {f"device.{name}": getattr(device, name) for name in _KNOWN_BOTH}
        fields |= {f"device.tag.{n}": _plain(value) for n, value in device.attributes.items()}
        fields |= {
            "network": device.network.label,
            "permission": device.permission.name.lower(),
            "registered": _time(device.registered_at),
            "last_active": _time(device.last_active_at),
            "device.opted_out": device.opted_out,
        }
    return Sample(
        name=person.external_id,
        language=(device.language if device is not None else None) or person.language,
        time_zone=(device.time_zone if device is not None else None) or person.time_zone,
        fields=fields,
    )


def made_up(
    values: Mapping[str, Json], *, language: str | None = None, time_zone: str | None = None
) -> Sample:
    """Somebody with these values of variables (`user.first_name`)."""
    known = ((scan_field(name), value) for name, value in values.items())
    return Sample(
        language=language,
        time_zone=time_zone,
        fields={name: value for name, value in known if name is not None},
    )


def read(
    prepared: Prepared, samples: Sequence[Sample], networks: Sequence[Network], now: datetime
) -> list[Reading]:
    """What each sample would read on each network."""
    return [_read(prepared, sample, networks, now) for sample in samples]


def _read(
    prepared: Prepared, sample: Sample, networks: Sequence[Network], now: datetime
) -> Reading:
    count = len(networks)
    rows = pl.DataFrame(
        {
            "device": pl.Series([0] * count, dtype=pl.Int64),
            "network": pl.Series(list(map(int, networks)), dtype=pl.UInt8),
            "language": pl.Series([sample.language] * count, dtype=pl.String),
            **{
                name: pl.Series([_json(sample.fields.get(name))] * count, dtype=pl.String)
                for name in prepared.fields
            },
        }
    )
    zones = [sample.time_zone] if sample.time_zone is not None else []
    done = prepared.render(rows, Moment(now=now, zone=np.zeros(count, np.uint16), zones=zones))
    variant = int(done.rows["message"][0])
    content = prepared.variants[variant].content
    width = len(prepared.plans[variant].pieces)
    values = [done.rows[merge_column(at)].to_list() for at in range(width)]
    sizes = prepared.sizes(done, now)
    return Reading(
        sample=sample,
        language=prepared.languages[variant],
        contents={
            network: filled_content(content, [column[at] for column in values])
            for at, network in enumerate(networks)
        },
        missing=sorted(done.missing_by),
        failed=next(iter(done.failures), None),
        payloads={
            network: Payload(octets=int(told.octets.max(initial=0)), limit=told.limit)
            for network, told in sizes.items()
        },
    )


def filled_content(content: Content, values: Sequence[str]) -> Content:
    """A content as one recipient reads it."""

    def text(given: str | None) -> str | None:
        return None if given is None else filled(given, values)

    return replace(
        content,
        title=text(content.title),
        subtitle=text(content.subtitle),
        body=text(content.body),
        image=text(content.image),
        icon=text(content.icon),
        link=text(content.link),
        sound=text(content.sound),
        thread=text(content.thread),
        actions=tuple(
            Action(
                id=action.id,
                title=filled(action.title, values),
                icon=text(action.icon),
                link=text(action.link),
            )
            for action in content.actions
        ),
        data={key: _filled(value, values) for key, value in content.data.items()},
    )


def _filled(value: Json, values: Sequence[str]) -> Json:
    if isinstance(value, str):
        return filled(value, values)
    if isinstance(value, Mapping):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [_filled(inner, values) for inner in value]
    return value


def _json(value: Json) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _plain(value: object) -> Json:
    return _time(value) if isinstance(value, datetime) else value


def _time(value: datetime | None) -> Json:
    return None if value is None else {"time": value.isoformat().replace("+00:00", "Z")}
