-- Accepting messages.

-- name: hold_keys
-- Locks of the transaction, one a key, without waiting: whoever has one works on the first request.
-- A statement of its own, so that the look that follows sees what the last holder committed.
select t.n, pg_try_advisory_xact_lock(t.lock) as mine
from unnest($1::int[], $2::bigint[]) as t (n, lock)

-- name: keys_seen
-- Which of a group's idempotency keys were used before, and with which body.
select o.n, i.status, i.answer, i.body_hash = o.body_hash as same
from unnest($1::int[], $2::int[], $3::text[], $4::bytea[]) as o (n, app_id, key, body_hash)
join idempotency i on i.app_id = o.app_id and i.key = o.key
where i.created_at > $5

-- name: credentials_there
-- Which of these credentials still exist.
select id from credential where id = any ($1::int[])

-- name: credentials
-- What each app can send over at the moment.
select app_id, network, id, state = 1 as active from credential where app_id = any ($1::int[])

-- name: batch_ids
-- Numbers for batches that are sent while they are being journalled.
select nextval(pg_get_serial_sequence('batch', 'id')) from generate_series(1, $1)

-- name: write
-- The whole group in one statement: messages, keys, leased batches, and who was left out.
-- A key past its lifetime starts anew. One that is alive ends the statement (its status may not be
-- null): its holder lost it, and nothing of the group may be committed.
with messages as (
    insert into message (id, app_id, lane, state, request, envelope, target, send_at, expires_at,
                         key_id, created_at, started_at, finished_at, recipients, open_batches,
                         category_id)
    select id, app_id, lane, case when open_batches = 0 then 5 else 2 end, request::jsonb, envelope,
           target::jsonb, send_at, expires_at, key_id, $1::timestamptz, $1::timestamptz,
           case when open_batches = 0 then $1::timestamptz end, recipients, open_batches,
           (select c.id from category c where c.app_id = t.app_id and c.slug = t.category)
    from unnest($2::text[]::uuid[], $3::int[], $4::smallint[], $5::text[], $6::bytea[], $7::text[],
                $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bigint[], $12::int[],
                $36::text[])
         as t (id, app_id, lane, request, envelope, target, send_at, expires_at, key_id,
               recipients, open_batches, category)
), keys as (
    insert into idempotency (app_id, key, body_hash, status, answer, created_at)
    select app_id, key, body_hash, status, answer, $1::timestamptz
    from unnest($13::int[], $14::text[], $15::bytea[], $16::smallint[], $17::bytea[])
         as t (app_id, key, body_hash, status, answer)
    on conflict (app_id, key) do update
    set body_hash = excluded.body_hash, answer = excluded.answer, created_at = excluded.created_at,
        status = case when idempotency.created_at <= $35 then excluded.status end
), batches as (
    insert into batch (id, key, app_id, lane, network, credential_id, message_ids, state, run_at,
                       owner, leased_until, fence, claims, size, first_attempt_at, planned_xid,
                       recipients)
    overriding system value
    select id, 'urgent:' || id, app_id, lane, network, credential_id, message_ids::uuid[],
           case when leased then 2 else 1 end, $1::timestamptz, case when leased then $18::text end,
           case when leased then $19::timestamptz end, case when leased then 1 else 0 end,
           case when leased then 1 else 0 end, size, $1::timestamptz, planned_xid, recipients
    from unnest($20::bigint[], $21::int[], $22::smallint[], $23::smallint[], $24::int[],
                $25::text[], $26::boolean[], $27::int[], $28::bigint[], $29::bytea[])
         as t (id, app_id, lane, network, credential_id, message_ids, leased, size, planned_xid,
               recipients)
), counted as (
    insert into frequency_ledger (app_id, range, low, high, first_at, last_at, rows, created_at)
    select app_id, -1, low, high, $1::timestamptz, $1::timestamptz, rows, $1::timestamptz
    from unnest($39::int[], $40::smallint[], $41::smallint[], $42::bytea[])
         as t (app_id, low, high, rows)
)
insert into chunk (key, app_id, kind, message_ids, rows, notes, meta, created_at)
select key, app_id, kind, message_ids::uuid[], rows, notes::text[], meta::jsonb, $1::timestamptz
from unnest($30::text[], $31::int[], $32::text[], $33::bytea[], $34::text[], $37::smallint[],
            $38::text[])
     as t (key, app_id, message_ids, rows, notes, kind, meta)

-- name: take_key
-- Waits for another request with the same key to commit or to fail. An expired key starts anew.
insert into idempotency as i (app_id, key, body_hash, status, answer, created_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (app_id, key) do update
set body_hash = excluded.body_hash, status = excluded.status, answer = excluded.answer,
    created_at = excluded.created_at
where i.created_at <= $7
returning 1

-- name: key_answer
-- What was answered when the key was used first.
select status, answer, body_hash = $3 as same from idempotency where app_id = $1 and key = $2

-- name: insert_message
-- A message that planning takes up when its time has come.
insert into message (id, app_id, lane, state, request, envelope, target, send_at, expires_at,
                     key_id, created_at, category_id, policy)
values ($1::text::uuid, $2, $3, 1, $4::text::jsonb, $5, $6::text::jsonb, $7, $8, $9, $10,
        (select id from category where app_id = $2 and slug = $11::text), $12::text::jsonb)
