-- Messages: read back, and steered while they are sent.

-- name: get
-- One message of one app.
select id::text as id, app_id, lane, state, request, send_at, expires_at, created_at, started_at,
       finished_at, canceled_at, paused_at, recipients, xid::text::bigint as xid,
       (select s.trouble from shard s where s.message_id = message.id and s.trouble is not null
        order by s.low limit 1) as trouble,
       held.network as held_network, held.reason as held_reason
from message left join lateral (
    select c.network, c.state_reason as reason
    from batch b join credential c on c.id = b.credential_id and c.state = 2
    where b.message_ids[1] = message.id and b.state = 1 limit 1
) as held on message.state = 2
where app_id = $1 and id = $2::text::uuid

-- name: page
-- Newest first, from a place in the list on.
select id::text as id, app_id, lane, state, request, send_at, expires_at, created_at, started_at,
       finished_at, canceled_at, paused_at, recipients, xid::text::bigint as xid
from message
where app_id = $1
  and ($2::timestamptz is null or (created_at, id) < ($2, $3::text::uuid))
order by created_at desc, id desc
limit $4

-- name: lock
-- The state machine decides about the state that it holds.
select state, started_at from message where app_id = $1 and id = $2::text::uuid for update

-- name: set_state
-- What the state machine decided.
update message
set state = $2::smallint, paused_at = case when $2::smallint = 3 then $3::timestamptz end,
    canceled_at = case when $2::smallint in (4, 6) then $3 else canceled_at end,
    finished_at = case when $2::smallint = 6 then $3 else finished_at end,
    xid = pg_current_xact_id()
where id = $1::text::uuid

-- name: hold_batches
-- Nobody takes held work; what is being sent stops at its next chunk.
update batch set state = 3
where message_ids[1] = $1::text::uuid and cardinality(message_ids) = 1 and state = 1

-- name: hold_shards
-- The same for what is not planned yet.
update shard set state = 3 where message_id = $1::text::uuid and state = 1

-- name: free_batches
-- Work that was held is ready again (a withdrawn message's too: its rows are recorded then). What is
-- under a rate has missed its turns: it is spread anew before the transaction ends. What was counted
-- under it before the pause waits for no other turn, and is not spread.
update batch
set state = 1, claims = 0,
    run_at = case when due_at is not null and not turned
                  then timestamptz '9999-01-01 00:00+00'
                  when attempt = 0 then run_at
                  else least(run_at, $2) end
where message_ids[1] = $1::text::uuid and cardinality(message_ids) = 1 and state = 3

-- name: unspread
-- Whether any work of the message waits for its turn under a rate.
select exists (select from batch where message_ids[1] = $1::text::uuid and due_at is not null
                                   and state = 1 and cardinality(message_ids) = 1 and not turned)

-- name: free_shards
-- The same for what is not planned yet.
update shard set state = 1, trouble = null where message_id = $1::text::uuid and state = 3

-- name: hurry_batches
-- A withdrawn message does not wait for its retries to come due.
update batch set run_at = $2
where message_ids[1] = $1::text::uuid and cardinality(message_ids) = 1 and state = 1

-- name: shared_batches
-- Ready work of this message and of others at once, which only urgent lanes have.
select id, app_id, lane, network, credential_id, message_ids::text[] as message_ids, cursor,
       run_at, attempt, first_attempt_at, planned_xid, recipients, spent_s
from batch
where state = 1 and lane <= 1 and cardinality(message_ids) > 1
  and message_ids @> array[$1::text::uuid]
for update

-- name: end_batch
-- Others have taken over what was left of it.
update batch set state = 4, leased_until = $2, recipients = ''::bytea where id = $1

-- name: drop_shards
-- Nobody was chosen from these yet: there is nobody to record.
with dropped as (
    delete from shard where message_id = $1::text::uuid and state in (1, 3)
    returning 1
)
update message
set open_shards = open_shards - (select count(*) from dropped)
where id = $1::text::uuid
returning open_shards, open_batches
