"""What of a notification will be visible where: lines and widths that the platforms show.

No platform promises a number of characters: screens, fonts and settings differ. The limits here
are what vendors of push services publish from looking (each names its source), counted in cells: a
wide character of East Asia or an emoji takes two. They tell what a person is sure to see before
the notification is opened; they never change what is sent.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clarion.domain.content import Content
from clarion.domain.graphemes import ELLIPSIS, Clusters, closers


@dataclass(frozen=True, slots=True)
class Room:
    """Lines, and cells in a line."""

    lines: int
    cells: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What one kind of notification shows."""

    title: Room
    body: Room
    subtitle: Room | None = None
    """None: the platform has no subtitle; it stands in front of the body then."""
    with_image: Room | None = None
    """What is left for the body beside an image; None: as much as without."""
    source: str
    """Who says so, and when it was read."""


_BATCH: Final = "Batch, optimal length for every web push notification; read 2026-11"
_EMARSYS: Final = (
    "Emarsys (SAP Engagement Cloud) SDK, push limitations: 20-55 characters collapsed, "
)
_FIREPUSH: Final = "Firepush, push character limits; read 2026-11"

PLATFORMS: Final[Mapping[str, Platform]] = {
    "ios": Platform(
        title=Room(1, 35),
        subtitle=Room(1, 40),
        body=Room(4, 44),
        source="Reteno, push notification character limits: 178 characters in four lines; "
        "read 2026-11",
    ),
    "ios_banner": Platform(
        title=Room(1, 35),
        subtitle=Room(1, 40),
        body=Room(2, 40),
        source="character counters of push vendors: two lines, 80 characters; read 2026-11",
    ),
    "android": Platform(
        title=Room(1, 45),
        body=Room(1, 45),
        source=_EMARSYS + "by density of the screen; read 2026-11",
    ),
    "android_expanded": Platform(
        title=Room(1, 45),
        body=Room(10, 45),
        with_image=Room(1, 45),
        source=_EMARSYS + "200-460 expanded, one line beside an image; read 2026-11",
    ),
    "chrome_windows": Platform(title=Room(2, 35), body=Room(4, 35), source=_BATCH),
    "firefox_windows": Platform(title=Room(1, 50), body=Room(4, 50), source=_BATCH),
    "chrome_macos": Platform(title=Room(1, 35), body=Room(2, 40), source=_FIREPUSH),
    "safari_macos": Platform(title=Room(1, 30), body=Room(4, 30), source=_FIREPUSH),
    "chrome_android": Platform(title=Room(1, 40), body=Room(2, 50), source=_FIREPUSH),
}
"""Name of the preview -> what is shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A text as it appears: its lines, and whether something is missing."""

    lines: tuple[str, ...]
    cut: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A notification as a platform shows it."""

    title: Shown | None
    subtitle: Shown | None
    body: Shown | None
    source: str


def width(cluster: str) -> int:
    """Cells of one grapheme cluster: 0 for controls, 2 for wide ones and emoji, else 1."""
    if all(unicodedata.category(character) in {"Cf", "Cc", "Mn"} for character in cluster):
        return 0
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in cluster)
    # An emoji by its selector, or a flag: two regional indicators are one picture.
    picture = "\ufe0f" in cluster or "\U0001f1e6" <= cluster[0] <= "\U0001f1ff"
    return 2 if wide or picture else 1


def _wrapped(text: str, cells: int, clusters: Clusters) -> list[str]:
    """The text in lines of so many cells, broken at spaces where there are any."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line: list[str] = []
        used, space = 0, -1
        for cluster in clusters(paragraph):
            if used + width(cluster) > cells and line:
                head, rest = (line[:space], line[space + 1 :]) if space > 0 else (line, [])
                if cluster.isspace() and space <= 0:
                    rest = []
                lines.append("".join(head).rstrip())
                line, used = list(rest), sum(map(width, rest))
                space = -1
                if cluster.isspace() and not line:
                    continue
            if cluster.isspace():
                space = len(line)
            line.append(cluster)
            used += width(cluster)
        lines.append("".join(line))
    return lines


def shown(text: str | None, room: Room, clusters: Clusters) -> Shown | None:
    """A text in its room; None where there is no text."""
    if not text:
        return None
    lines = _wrapped(text, room.cells, clusters)
    if len(lines) <= room.lines:
        return Shown(tuple(lines), cut=False)
    last = list(clusters(lines[room.lines - 1]))
    while last and sum(map(width, last)) + width(ELLIPSIS) > room.cells:
        last.pop()
    kept = "".join(last).rstrip() + ELLIPSIS
    seen = [*lines[: room.lines - 1], kept]
    seen[-1] += closers("".join(seen))
    return Shown(tuple(seen), cut=True)


def preview(content: Content, platform: str, clusters: Clusters) -> Preview:
    """What will be visible of a rendered content.

    Args:
        content: Texts as the person reads them, without markers or templates.
        platform: A name in `PLATFORMS`. Raises `KeyError` for another.
        clusters: Where text may be cut.
    """
    known = PLATFORMS[platform]
    body, subtitle = content.body, content.subtitle
    if known.subtitle is None and subtitle:
        body, subtitle = "\n".join(text for text in (subtitle, body) if text), None
    room = known.with_image if content.image is not None and known.with_image else known.body
    return Preview(
        title=shown(content.title, known.title, clusters),
        subtitle=shown(subtitle, known.subtitle or known.title, clusters),
        body=shown(body, room, clusters),
        source=known.source,
    )
