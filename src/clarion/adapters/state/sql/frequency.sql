-- What people were sent and what is held for them, as caps count it.

-- name: read_ledger
-- Entries of a range of buckets, with the message's withdrawal. Loose ones may be of any bucket.
select l.message_id::text as message_id, l.rows,
       (extract(epoch from m.canceled_at) * 1000000)::bigint as canceled_us
from frequency_ledger l left join message m on m.id = l.message_id
where l.app_id = $1 and l.last_at >= $5
  and (l.range = -1 or (l.range = any ($2::smallint[]) and l.low < $4 and l.high > $3))
order by l.id

-- name: read_gave_way
-- Who of these messages' people gave way to a message that has gone out, and when.
select message_id::text as message_id, gone as people,
       (extract(epoch from created_at) * 1000000)::bigint as at_us
from gave_way where message_id = any ($1::text[]::uuid[]) and range = any ($2::smallint[])

-- name: read_versions
-- How often messages under caps were planned for these ranges.
select range, version from cap_range where app_id = $1 and range = any ($2::smallint[])

-- name: bump_versions
-- One more; a range that another plan was faster with stays away from the answer. In the order of
-- ranges, so that two plans never wait for each other.
insert into cap_range as c (app_id, range, version)
select $1, t.range, 1
from unnest($2::smallint[], $3::bigint[]) with ordinality as t (range, version, n)
order by t.n
on conflict (app_id, range) do update set version = c.version + 1
where c.version = (select t.version from unnest($2::smallint[], $3::bigint[]) as t (range, version)
                   where t.range = excluded.range)
returning 1

-- name: add_entries
-- What a plan adds.
insert into frequency_ledger (app_id, range, low, high, message_id, first_at, last_at, rows,
                              created_at)
select $1, t.range, t.low, t.high, $2::text::uuid, t.first_at, t.last_at, t.rows, $3
from unnest($4::smallint[], $5::smallint[], $6::smallint[], $7::timestamptz[], $8::timestamptz[],
            $9::bytea[]) as t (range, low, high, first_at, last_at, rows)

-- name: add_gave_way
-- Held parts of less important messages that give way, once the other message has gone out.
insert into gave_way (message_id, range, people, winner, created_at)
select t.message_id::uuid, t.range, t.people, $1::text::uuid, $2
from unnest($3::text[], $4::smallint[], $5::bytea[]) as t (message_id, range, people)

-- name: given_way
-- Whose part of these messages gives way, for whom the other message is out, and since when it is
-- due if some of it may still go out: of the ranges that a batch has people in, and no others.
select g.people, g.gone, w.due_at
from gave_way g, lateral (
    select min(o.run_at) as due_at from batch o
    where o.message_ids[1] = g.winner and o.state <> 4 and o.displaces) w
where g.message_id = any ($1::text[]::uuid[]) and g.range = any ($2::smallint[])

-- name: displaced
-- Whose parts give way to a message.
select id, people, gone from gave_way
where winner = $1::text::uuid and range = any ($2::smallint[]) order by id for update

-- name: same_people
-- Anonymous people among these, or merged into one of these, and who they turned out to be.
select from_id, to_id from merged
where from_id = any ($1::bigint[]) or to_id = any ($1::bigint[])

-- name: merged_since
-- Anonymous people who turned out to be somebody in this transaction or a later one.
select from_id, to_id from merged where app_id = $1 and xid >= $2::text::xid8 order by xid

-- name: stand_for
-- Whom these numbers stand for, if they are not a person's own.
select from_id, to_id from merged where from_id = any ($1::bigint[])

-- name: set_gone
-- For whom it has gone out.
update gave_way set gone = $2 where id = $1

-- name: take_loose
-- Loose entries that are old enough for everybody to have seen their transaction end.
delete from frequency_ledger where id in (
    select id from frequency_ledger where range = -1 and created_at < $1 order by id limit $2
    for update skip locked
)
returning app_id, message_id::text as message_id, rows

-- name: loose_entries
-- The first look: most of the time there are none.
select exists (select from frequency_ledger where range = -1 and created_at < $1)

-- name: drop_old_entries
-- No cap looks back so far.
delete from frequency_ledger where id in (
    select id from frequency_ledger where last_at < $1 order by last_at limit $2
)

-- name: drop_old_gave_way
-- Who gave way, once nothing of the message can be sent or counted any more.
delete from gave_way where id in (
    select g.id from gave_way g
    where g.created_at < $1
      and not exists (select from batch b where b.message_ids[1] = g.message_id and b.state <> 4)
      and not exists (select from frequency_ledger l where l.message_id = g.message_id)
    order by g.id limit $2
)
