-- Anonymous people turn out to be somebody: what planning holds of them goes along. The octets ($3)
-- of a few people's numbers find the candidates; of many ($4) all rows are read, of messages since
-- the first of them is there ($5).

-- name: hold
-- Plans for these ranges have ended, or end after us: they hold, or move, the same versions.
select from cap_range where app_id = $1 and range = any ($2::smallint[])
order by range for no key update

-- name: begin_ranges
-- Those of which nobody has counted anything.
insert into cap_range (app_id, range)
select $1, range from unnest($2::smallint[]) as t (range) order by range
on conflict do nothing

-- name: held
-- Whether anything is there that could be of these people.
select exists (
    select from frequency_ledger l
    where l.app_id = $1 and l.range = -1 and l.last_at >= $5
      and ($4 or exists (select from unnest($3::bytea[]) o where position(o in l.rows) > 0))
) as loose, exists (
    select from frequency_ledger l
    where l.app_id = $1 and l.range = any ($2::smallint[]) and l.last_at >= $5
      and ($4 or exists (select from unnest($3::bytea[]) o where position(o in l.rows) > 0))
) as counted, exists (
    select from digest_item i
    where i.app_id = $1 and i.range = any ($2::smallint[])
      and ($4 or exists (select from unnest($3::bytea[]) o where position(o in i.people) > 0))
) as digests, exists (
    select from gave_way g
    where g.range = any ($2::smallint[]) and g.created_at >= $5
      and ($4 or exists (select from unnest($3::bytea[]) o where position(o in g.people) > 0))
) as gave_way

-- name: counted
-- Entries that caps count.
select id, message_id::text as message_id, rows from frequency_ledger
where app_id = $1 and range = any ($2::smallint[]) and last_at >= $5
  and ($4 or exists (select from unnest($3::bytea[]) o where position(o in rows) > 0))
order by id

-- name: hold_loose
-- Those that are not sorted in yet, as they are by now.
select id, rows from frequency_ledger where id = any ($1::bigint[]) order by id for update

-- name: rename_loose
-- The same entries under other numbers.
update frequency_ledger l set rows = t.rows, low = t.low, high = t.high
from unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::bytea[]) as t (id, low, high, rows)
where l.id = t.id

-- name: copy_entries
-- What counts for the known people.
insert into frequency_ledger (app_id, range, low, high, message_id, first_at, last_at, rows,
                              created_at)
select $1, t.range, t.low, t.high, t.message_id::uuid, t.first_at, t.last_at, t.rows, $2
from unnest($3::text[], $4::smallint[], $5::smallint[], $6::smallint[], $7::timestamptz[],
            $8::timestamptz[], $9::bytea[])
     as t (message_id, range, low, high, first_at, last_at, rows)

-- name: digests
-- Parts that wait for a digest.
select id, people from digest_item
where app_id = $1 and range = any ($2::smallint[]) and $5::timestamptz is not null
  and ($4 or exists (select from unnest($3::bytea[]) o where position(o in people) > 0))
order by id

-- name: hold_digests
-- These, as they are by now.
select id, message_id::text as message_id, people from digest_item
where id = any ($1::bigint[]) order by id for update

-- name: set_digests
-- The others' parts.
update digest_item i set people = t.people
from unnest($1::bigint[], $2::bytea[]) as t (id, people) where i.id = t.id

-- name: waiting
-- Whose part of these messages waits, in these ranges.
select message_id::text as message_id, people from digest_item
where message_id = any ($1::text[]::uuid[]) and range = any ($2::smallint[])

-- name: add_digests
-- The same parts of other people.
insert into digest_item (app_id, category_id, message_id, range, due_at, people, created_at,
                         digest_id)
select i.app_id, i.category_id, i.message_id, t.range, i.due_at, t.people, i.created_at, i.digest_id
from unnest($1::bigint[], $2::smallint[], $3::bytea[]) as t (id, range, people)
join digest_item i on i.id = t.id

-- name: gave_way
-- Held parts that gave way.
select g.id, g.people from gave_way g join message m on m.id = g.message_id
where m.app_id = $1 and g.range = any ($2::smallint[]) and g.created_at >= $5
  and ($4 or exists (select from unnest($3::bytea[]) o where position(o in g.people) > 0))
order by g.id

-- name: hold_gave_way
-- These, as they are by now.
select id, people, gone from gave_way where id = any ($1::bigint[]) order by id for update

-- name: add_gave_way
-- The same for other people.
insert into gave_way (message_id, range, people, gone, winner, created_at)
select g.message_id, t.range, t.people, t.gone, g.winner, g.created_at
from unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[]) as t (id, range, people, gone)
join gave_way g on g.id = t.id

-- name: overtake
-- Whoever plans for the known people at this moment counts anew.
update cap_range set version = version + 1 where app_id = $1 and range = any ($2::smallint[])
