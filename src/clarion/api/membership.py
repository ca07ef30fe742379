"""Letting people join or leave a list or a topic, from JSON or a file."""

import polars as pl

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.routing import Api
from clarion.api.shapes.imports import BadRowView
from clarion.api.shapes.lists import MemberBatch, MemberQuery, MemberRow, MembersView
from clarion.api.uploads import MAX_BAD_SHOWN, bad_views, broken_file, format_of
from clarion.domain.naming import NAMING
from clarion.ports.lists import Circle
from clarion.stages.intake.lists import Joining, JoiningProgress, change_from_file, change_rows
from clarion.stages.intake.rows import MalformedFileError


async def change_members(api: Api, call: Exchange, circle: Circle) -> Answer:
    """Read the body, whatever it is, and let its people join or leave."""
    query = call.query(MemberQuery)
    joining = Joining(
        lists=api.deps.lists,
        clock=api.deps.clock,
        circle=circle,
        join=query.action == "add",
        create_people=query.unknown_users == "create",
    )
    kind, app = format_of(call), call.caller.app
    done, bad = JoiningProgress(), list[BadRowView]()
    if kind is None:
        body = await call.json(MemberBatch, api.deps.limits.max_batch_body)
        done = await change_rows(joining, app, _frame(body.members))
        bad = bad_views(done.bad, MAX_BAD_SHOWN)
    else:
        pieces = call.pieces(api.deps.limits.max_import_body)
        try:
            async for done in change_from_file(joining, app, pieces, kind):
                bad += bad_views(done.bad, MAX_BAD_SHOWN - len(bad))
        except MalformedFileError as error:
            raise broken_file(error, done.changed) from None
    return json_answer(MembersView(done.rows_read, done.changed, done.rows_bad, bad))


def _frame(members: list[MemberRow]) -> pl.DataFrame:
    aliases = [member.alias for member in members]
    return pl.DataFrame(
        {
            "external_id": [member.external_id for member in members],
            "user": [member.user for member in members],
            "alias_label": [None if alias is None else alias.label for alias in aliases],
            "alias_value": [None if alias is None else alias.value for alias in aliases],
        },
        schema_overrides={
            n: NAMING[n] for n in ("external_id", "user", "alias_label", "alias_value")
        },
    )
