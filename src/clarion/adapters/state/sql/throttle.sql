-- Rates of an app and of its campaigns: batches that wait are spread anew whenever more come.

-- name: hold_app
-- Whoever spreads an app's batches does it alone.
select throttle_per_minute from app where id = $1 for update

-- name: waiting
-- Batches under a throttle that have not begun to run.
select b.id, b.message_ids[1]::text as campaign, b.size - b.cursor as size,
       (extract(epoch from b.due_at) * 1000000)::bigint as due_us,
       (m.policy ->> 'throttle_per_minute')::int as per_minute
from batch b join message m on m.id = b.message_ids[1]
where b.app_id = $1 and b.due_at is not null and b.state = 1 and b.run_at > $2
order by b.id
for update of b

-- name: taken
-- Up to when the rates are used up by what runs or ran: by campaign, and by all of them.
select b.message_ids[1]::text as campaign,
       (extract(epoch from max(b.run_at + b.size * interval '1 minute'
           / (m.policy ->> 'throttle_per_minute')::int)) * 1000000)::bigint as own_us,
       (extract(epoch from max(b.run_at + b.size * interval '1 minute' / $3::int)) * 1000000
       )::bigint as app_us
from batch b join message m on m.id = b.message_ids[1]
where b.app_id = $1 and b.due_at is not null and b.run_at <= $2
  and b.run_at > $2::timestamptz - interval '1 hour'
group by 1

-- name: move
-- Their new instants.
update batch b set run_at = to_timestamp(t.run_us / 1e6)
from unnest($1::bigint[], $2::bigint[]) as t (id, run_us) where b.id = t.id
