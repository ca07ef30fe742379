-- What the sweeping role does besides: what is over and old is deleted, a little at a time.

-- name: drop_messages
-- Messages that ended before $1. Recorded outcomes that the facts have not taken in yet (the oldest
-- has the least number) keep everything that is as old as they are; parts that wait for a digest keep
-- their message.
delete from message where id in (
    select m.id from message m
    where m.state in (5, 6) and m.finished_at < $1
      and m.finished_at < coalesce((select created_at from chunk order by id limit 1), 'infinity')
      and m.open_shards = 0 and m.open_batches = 0
      and not exists (select from shard s where s.message_id = m.id)
      and not exists (select from batch b where b.message_ids[1] = m.id and b.state <> 4)
      and m.id not in (select i.message_id from digest_item i where i.digest_id is null)
    order by m.finished_at
    limit $2
    for update of m skip locked
)

-- name: drop_removals
-- Marks from before $1 that the facts have taken in (they are below version $2) and that no waiting
-- batch was planned before: senders ask for what was removed since the plan.
delete from removal where xid < $2::text::xid8 and ctid = any (array(
    select ctid from (
        select ctid, removed_at from removal
        where xid < least(
            $2::text::bigint,
            (select min(planned_xid) from batch where state <> 4)
        )::text::xid8
        order by xid
        limit $3
    ) oldest
    where removed_at < $1
))

-- name: drop_keys
-- Idempotency keys past their lifetime. Locked first: one that is being taken anew stays.
delete from idempotency where ctid = any (array(
    select ctid from idempotency where created_at <= $1 order by created_at limit $2
    for update skip locked
))

-- name: held_shards
-- Shards that no planner could read: held, though nobody paused their message.
select count(*)::int from shard s join message m on m.id = s.message_id
where s.state = 3 and m.state = 2

-- name: entangled
-- Work of several messages that a quarantine holds.
select b.id, b.fence, b.app_id, b.lane, b.network, b.credential_id, b.run_at, b.attempt,
       b.first_attempt_at, b.planned_xid, b.cursor, b.recipients, b.spent_s,
       b.message_ids::text[] as message_ids
from batch b join credential c on c.id = b.credential_id and c.state = 2
where b.state = 1 and cardinality(b.message_ids) > 1
limit $1
for update of b skip locked

-- name: lock_messages
-- A pause or a withdrawal comes before, or after.
select id::text as id, state from message where id = any ($1::text[]::uuid[])
order by id for update

-- name: end_entangled
-- The batches of its messages take over.
update batch set state = 4, owner = null, leased_until = $2, recipients = ''::bytea where id = $1

-- name: count_recorded_part
-- A message of which this batch had nothing left: one open batch less.
update message
set open_batches = open_batches - 1,
    state = case when open_shards = 0 and open_batches = 1
                 then case state when 4 then 6 else 5 end else state end,
    finished_at = case when open_shards = 0 and open_batches = 1 then $2 else finished_at end,
    xid = pg_current_xact_id()
where id = $1::text::uuid

-- name: insert_part
-- One message's part; held while its message is paused.
insert into batch (key, app_id, lane, network, credential_id, message_ids, run_at, size, attempt,
                   first_attempt_at, planned_xid, recipients, state, spent_s)
values ($1, $2, $3, $4, $5, array[$6::text::uuid], $7, $8, $9, $10, $11, $12, $13, $14)
