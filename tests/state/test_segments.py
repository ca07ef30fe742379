"""Segments in the state store: whole, free of circles, resolved as they are now."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.state.conftest import NOW

from clarion.adapters.state.pool import Pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.segments import PostgresSegments
from clarion.domain.ids import AppId
from clarion.domain.segments.checking import SegmentReferenceError
from clarion.domain.segments.expression import InList, InSegment
from clarion.domain.segments.text import parse
from clarion.domain.segments.text_form import to_text
from clarion.ports.segments import SegmentChangedError, SegmentDraft, SegmentInUseError

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def segments(pool: Pool) -> PostgresSegments:
    """Segments of the store."""
    return PostgresSegments(pool)


def draft(name: str, text: str, description: str = "") -> SegmentDraft:
    """A segment of that text."""
    return SegmentDraft(name=name, expression=parse(text).expression, description=description)


async def add_list(pool: Pool, app: AppId, name: str) -> int:
    """A list of that name."""
    sql = "insert into list (app_id, name, created_at) values ($1, $2, $3) returning id"
    found: int = await pool.fetchval(sql, app, name, NOW)
    return found


async def names(segments: PostgresSegments, app: AppId) -> Sequence[str]:
    """What the segments of an app are called."""
    return [record.draft.name for record in await segments.all(app)]


async def test_a_segment_is_kept_as_said_and_each_change_is_a_version(
    segments: PostgresSegments, app: AppId
) -> None:
    """Saying the same again is no change."""
    first = await segments.put(app, draft("pro", 'tag.plan = "pro"', "Who pays"), NOW)
    same = await segments.put(app, draft("pro", 'tag.plan = "pro"', "Who pays"), LATER)
    second = await segments.put(app, draft("pro", 'tag.plan in ("pro", "max")'), LATER)
    assert (first.version, first.draft.description, first.created_at) == (1, "Who pays", NOW)
    assert same == first
    assert (second.version, second.created_at, second.updated_at) == (2, NOW, LATER)
    assert await segments.get(app, "pro") == second
    assert await segments.get(app, "other") is None


async def test_a_version_that_was_not_seen_is_not_overwritten(
    segments: PostgresSegments, app: AppId
) -> None:
    """0 means that there must be none."""
    await segments.put(app, draft("a", "everyone"), NOW, version=0)
    with pytest.raises(SegmentChangedError) as refused:
        await segments.put(app, draft("a", "not everyone"), NOW, version=0)
    assert refused.value.version == 1
    with pytest.raises(SegmentChangedError):
        await segments.put(app, draft("b", "everyone"), NOW, version=3)
    assert (await segments.put(app, draft("a", "not everyone"), NOW, version=1)).version == 2


async def test_an_expression_is_resolved_with_what_is_stored_now(
    segments: PostgresSegments, pool: Pool, app: AppId
) -> None:
    """A change, a new list and a removal are seen at the next question."""
    number = await add_list(pool, app, "vip")
    await segments.put(app, draft("fr", "country = FR"), NOW)
    wanted = parse("in segment(fr) and in list(vip)").expression
    found = await segments.resolve(app, wanted, LATER)
    assert to_text(found.expression) == "country = FR and in list(vip)"
    assert (found.lists, found.now) == ({"vip": number}, LATER)
    await segments.put(app, draft("fr", "country in (FR, BE)"), NOW)
    assert to_text((await segments.resolve(app, "fr", NOW)).expression) == "country in (FR, BE)"
    await pool.execute("delete from list")
    with pytest.raises(SegmentReferenceError, match="no list 'vip'"):
        await segments.resolve(app, wanted, NOW)
    other = await add_list(pool, app, "vip")
    assert (await segments.resolve(app, wanted, NOW)).lists == {"vip": other}
    assert await segments.remove(app, "fr")
    with pytest.raises(SegmentReferenceError, match="no segment 'fr'"):
        await segments.resolve(app, "fr", NOW)


async def test_segments_of_another_app_do_not_exist(
    segments: PostgresSegments, pool: Pool, app: AppId
) -> None:
    """Neither to read, nor to name, nor to remove."""
    other = (await PostgresApps(pool).create("other", now=NOW)).id
    await segments.put(app, draft("fr", "country = FR"), NOW)
    with pytest.raises(SegmentReferenceError):
        await segments.resolve(other, "fr", NOW)
    assert await segments.get(other, "fr") is None
    assert not await segments.remove(other, "fr")
    assert await names(segments, app) == ["fr"]


async def test_a_circle_is_refused_however_long(segments: PostgresSegments, app: AppId) -> None:
    """And what was stored before stays."""
    await segments.put(app, draft("a", "everyone"), NOW)
    await segments.put(app, draft("b", "in segment(a)"), NOW)
    await segments.put(app, draft("c", "in segment(b)"), NOW)
    with pytest.raises(SegmentReferenceError, match="circle: a → c → b → a") as refused:
        await segments.put(app, draft("a", "not in segment(c)"), NOW)
    assert refused.value.reference == InSegment("c")
    with pytest.raises(SegmentReferenceError, match="circle"):
        await segments.put(app, draft("d", "in segment(d)"), NOW)
    assert to_text((await segments.resolve(app, "c", NOW)).expression) == "everyone"


async def test_no_change_makes_a_segment_that_names_it_too_large(
    segments: PostgresSegments, app: AppId
) -> None:
    """The whole is judged, of all that lead to it."""
    many = " or ".join(f"tag.n = {n}" for n in range(490))
    await segments.put(app, draft("s0", "everyone"), NOW)
    for n in range(1, 5):
        await segments.put(app, draft(f"s{n}", f"in segment(s{n - 1}) and ({many})"), NOW)
    with pytest.raises(SegmentReferenceError, match="segment 's4', which names this one"):
        await segments.put(app, draft("s0", many), NOW)


async def test_what_is_named_is_not_removed(
    segments: PostgresSegments, pool: Pool, app: AppId
) -> None:
    """Not while another segment names it, nor while a message is to be planned for it."""
    await segments.put(app, draft("a", "everyone"), NOW)
    await segments.put(app, draft("b", "not in segment(a)"), NOW)
    with pytest.raises(SegmentInUseError, match="'a' is named by 'b'"):
        await segments.remove(app, "a")
    assert await segments.naming(app, InSegment("a")) == ["b"]
    assert await segments.naming(app, InList("a")) == []
    await pool.execute(
        """insert into message (id, app_id, lane, state, request, envelope, target, send_at,
                                key_id, created_at)
           values (gen_random_uuid(), $1, 3, 1, '{}', '', '{"segment": {"segment": "b"}}', $2,
                   'k', $2)""",
        app,
        NOW,
    )
    with pytest.raises(SegmentInUseError, match="yet to be planned"):
        await segments.remove(app, "b")
    await pool.execute("update message set state = 5")
    assert await segments.remove(app, "b")
    assert await segments.remove(app, "a")
    assert not await segments.remove(app, "a")
