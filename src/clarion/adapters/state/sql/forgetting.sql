-- Taking people out of columns of many people. The octets of their numbers find the candidates.

-- name: caps
-- Entries that caps count.
select id, rows from frequency_ledger
where app_id = $1 and range = any ($2::smallint[])
  and exists (select from unnest($3::bytea[]) o where position(o in rows) > 0)
order by id for update

-- name: set_caps
-- The others' entries.
update frequency_ledger set rows = $2 where id = $1

-- name: drop_caps
-- Nobody else's were there.
delete from frequency_ledger where id = $1

-- name: digests
-- Parts that wait for a digest.
select id, people from digest_item
where app_id = $1 and range = any ($2::smallint[])
  and exists (select from unnest($3::bytea[]) o where position(o in people) > 0)
order by id for update

-- name: set_digests
-- The others' parts.
update digest_item set people = $2 where id = $1

-- name: gave_way
-- Held parts that gave way.
select g.id, g.people, g.gone from gave_way g join message m on m.id = g.message_id
where m.app_id = $1 and g.range = any ($2::smallint[])
  and exists (select from unnest($3::bytea[]) o where position(o in g.people) > 0)
order by g.id for update of g

-- name: set_gave_way
-- The others' parts.
update gave_way set people = $2, gone = $3 where id = $1

-- name: batches
-- Waiting and held batches.
select id from batch
where app_id = $1 and state in (1, 3)
  and exists (select from unnest($2::bytea[]) o where position(o in recipients) > 0)
order by id

-- name: batch
-- One of them, if nobody sends it by now.
select recipients, cursor, message_ids::text[] as message_ids from batch
where id = $1 and state in (1, 3) for update

-- name: set_batch
-- The other recipients.
update batch set recipients = $2, size = $3 where id = $1
