-- Rates of an app and of its campaigns. Batches that wait are spread anew whenever more come; each
-- is counted when it is leased, so that a rate holds whenever senders come back.

-- name: app_rate
-- The app's rate, held until the transaction ends, and who was counted under it last.
select throttle_per_minute as per_minute,
       (extract(epoch from rate_at) * 1000000)::bigint as at_us, rate_taken as taken,
       (extract(epoch from rates_spread_at) * 1000000)::bigint as spread_us
from app where id = $1 for no key update

-- name: message_rate
-- The same of a campaign that has a rate of its own.
select (policy ->> 'throttle_per_minute')::int as per_minute,
       (extract(epoch from rate_at) * 1000000)::bigint as at_us, rate_taken as taken
from message
where id = $1::text::uuid and policy ->> 'throttle_per_minute' is not null
for no key update

-- name: take_of_app
-- So many recipients go out under the app's rate.
update app set rate_at = to_timestamp($2::bigint / 1e6), rate_taken = $3 where id = $1

-- name: take_of_message
-- The same under the campaign's.
update message set rate_at = to_timestamp($2::bigint / 1e6), rate_taken = $3
where id = $1::text::uuid

-- name: turned
-- The batch is counted, whoever leases it from now on.
update batch set turned = true where id = $1 and fence = $2

-- name: wait
-- It is not its turn: back to the queue. What this lease began has not begun.
update batch
set state = 1, owner = null, leased_until = null, claims = greatest(0, claims - 1),
    run_at = to_timestamp($3::bigint / 1e6),
    first_attempt_at = case when first_attempt_at <> $4 then first_attempt_at end
where id = $1 and fence = $2 and state = 2

-- name: waiting
-- Batches under a throttle whose turn has not come; withdrawn messages' wait for none.
select b.id, b.message_ids[1]::text as campaign, b.size - b.cursor as size,
       (extract(epoch from b.due_at) * 1000000)::bigint as due_us, b.attempt > 0 as again,
       (m.policy ->> 'throttle_per_minute')::int as per_minute,
       (extract(epoch from m.rate_at) * 1000000)::bigint as at_us, m.rate_taken as taken
from batch b join message m on m.id = b.message_ids[1]
where b.app_id = $1 and b.due_at is not null and b.state = 1 and not b.turned
  and m.state not in (4, 6)
order by b.id
for update of b

-- name: move
-- Their new instants.
update batch b set run_at = to_timestamp(t.run_us / 1e6)
from unnest($1::bigint[], $2::bigint[]) as t (id, run_us) where b.id = t.id

-- name: spread_at
-- When that was done last.
update app set rates_spread_at = $2 where id = $1
