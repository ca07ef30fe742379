"""What planning needs from the world."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clarion.ports.audience import Audience
from clarion.ports.digests import DigestDesk
from clarion.ports.frequency import FrequencyBook
from clarion.ports.plan_line import PlanLine
from clarion.ports.rendering import ContentRenderer
from clarion.ports.segments import Segments
from clarion.ports.system import Clock
from clarion.telemetry.metrics import Metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanningPorts:
    """The line, the people, and what they were sent before."""

    line: PlanLine
    audience: Audience
    frequency: FrequencyBook
    segments: Segments
    words: ContentRenderer
    digests: DigestDesk
    clock: Clock
    metrics: Metrics
    of_country: Mapping[str, str] = field(default_factory=dict)
    """Country -> time zone, for people of whom only the country is known."""
