-- Our own push service. Groups are columns of equal length.

-- name: attach
-- Connected devices $1 are held by node $2 from now on.
-- Locked in one order, so that two nodes that take the same ones over don't lock each other out.
with known as (
    select id, name, node from push_device where name = any($1::uuid[]) order by id for update
)
update push_device d set node = $2, seen_at = $3
from known where d.id = known.id
returning d.id, d.name, known.node as node_before

-- name: channels
-- What devices subscribe to.
select device_id, array_agg(id) as ids, array_agg(channel::text) as channels
from push_subscription where device_id = any($1::bigint[]) group by device_id

-- name: waiting
-- The oldest messages of devices $1, at least as urgent as $2, good at $3, $4 of each at most.
select m.device_id, m.id, m.subscription_id, s.channel, m.topic, m.urgency, m.expires_at, m.receipt,
       m.coding, m.encryption, m.crypto_key, m.body
from unnest($1::bigint[], $2::smallint[]) as device (id, floor)
cross join lateral (
    select * from push_message
    where device_id = device.id and urgency >= device.floor and expires_at > $3
    order by id limit $4
) m
join push_subscription s on s.id = m.subscription_id
order by m.device_id, m.id

-- name: tell
-- Tell every other node that holds one of the devices $1 (`$3 numbers`). A payload has 8000 octets
-- at most, so no more than 300 numbers go into one.
select pg_notify('clarion_push_' || node, $3 || ' ' || string_agg(id::text, ','))
from (
    select node, id, (row_number() over (partition by node)) / 300 as part
    from push_device where id = any($1::bigint[]) and node is not null and node <> $2
) held
group by node, part

-- name: tell_node
-- Tell nodes $1 about the device beside each.
select pg_notify('clarion_push_' || node, $3 || ' ' || string_agg(id::text, ','))
from (
    select node, id, (row_number() over (partition by node)) / 300 as part
    from unnest($1::smallint[], $2::bigint[]) as held (node, id)
) parts
group by node, part

-- name: make_device
-- The device with a name, made if it is new.
insert into push_device (name, node, seen_at, created_at) values ($1, $2, $3, $3)
on conflict (name) do update set seen_at = excluded.seen_at
returning id

-- name: register
-- A subscription of device $1, unless the device has $5 others.
with made as (
    insert into push_subscription (device_id, channel, key_hash, created_at)
    select $1, $2, $3, $4
    where (select count(*) from push_subscription where device_id = $1) < $5
    on conflict (device_id, channel) do nothing
    returning id, key_hash
)
select id, key_hash from made
union all
select id, key_hash from push_subscription where device_id = $1 and channel = $2
limit 1

-- name: unregister
-- End a subscription, with what waits for it; senders who asked hear that nobody will get it.
with ended as (
    delete from push_subscription s using push_device d
    where d.name = $1 and s.device_id = d.id and s.channel = $2
    returning s.id, s.device_id, s.channel, s.key_hash
), kept as (
    insert into push_ended (id, device_id, channel, key_hash, at)
    select id, device_id, channel, key_hash, $3 from ended
), dropped as (
    delete from push_message m using ended where m.subscription_id = ended.id
    returning m.id, m.subscription_id, m.receipt
), told as (
    insert into push_receipt (reader, message_id, subscription_id, status, at)
    select receipt, id, subscription_id, 410, $3 from dropped where receipt is not null
)
select device_id from ended

-- name: seen
-- Devices $1 are still connected.
update push_device set seen_at = $2 where id = any($1::bigint[]) and seen_at < $2

-- name: forget
-- Devices that were not seen since $1 end, $3 at most, with their subscriptions and what waits for
-- them; senders who asked hear that nobody will get it. One that comes back at this moment holds its
-- row, and stays.
with away as (
    select id from push_device where created_at < $1 and seen_at < $1
    order by id limit $3 for update skip locked
), ended as (
    delete from push_subscription s using away where s.device_id = away.id
    returning s.id, s.device_id, s.channel, s.key_hash
), kept as (
    insert into push_ended (id, device_id, channel, key_hash, at)
    select id, device_id, channel, key_hash, $2 from ended
), dropped as (
    delete from push_message m using away where m.device_id = away.id
    returning m.id, m.subscription_id, m.receipt
), told as (
    insert into push_receipt (reader, message_id, subscription_id, status, at)
    select receipt, id, subscription_id, 410, $2 from dropped where receipt is not null
), gone as (
    delete from push_device d using away where d.id = away.id
)
select count(*) from away

-- name: store
-- Keep a group of messages, $12 of each subscription at most, and above that only those that replace
-- one; says which subscriptions are gone.
with given as (
    select * from unnest(
        $1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::smallint[], $6::timestamptz[],
        $7::uuid[], $8::smallint[], $9::text[], $10::text[], $11::bytea[]
    ) as g (id, device_id, subscription_id, topic, urgency, expires_at, receipt, coding, encryption,
            crypto_key, body)
), known as (
    select g.*, row_number() over (partition by g.subscription_id order by g.id) as nth
    from given g
    join push_subscription s on s.id = g.subscription_id and s.device_id = g.device_id
), room as (
    select k.*, k.nth + (
        select count(*) from (
            select from push_message m where m.subscription_id = k.subscription_id limit $12
        ) held
    ) <= $12 as free
    from known k
), written as (
    insert into push_message (device_id, id, subscription_id, topic, urgency, expires_at, receipt,
                              coding, encryption, crypto_key, body)
    select device_id, id, subscription_id, topic, urgency, expires_at, receipt, coding, encryption,
           crypto_key, body
    from room where free or (  -- not exists(): the planner might hash the whole table for that
        select m.id from push_message m
        where m.subscription_id = room.subscription_id and m.topic = room.topic
    ) is not null
    order by subscription_id, id
    on conflict (subscription_id, topic) do update set
        id = excluded.id, urgency = excluded.urgency, expires_at = excluded.expires_at,
        receipt = excluded.receipt, coding = excluded.coding, encryption = excluded.encryption,
        crypto_key = excluded.crypto_key, body = excluded.body
    returning id
)
select g.id,
       case when w.id is not null then 1 when k.id is null then 0 else 2 end as became
from given g left join known k using (id) left join written w using (id)

-- name: write_receipts
-- Receipts of messages that arrived before they were stored.
insert into push_receipt (reader, message_id, subscription_id, status, at)
select reader, message_id, subscription_id, status, $5
from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[])
    as g (reader, message_id, subscription_id, status)

-- name: acknowledge
-- Messages have arrived.
with arrived as (
    delete from push_message m
    using unnest($1::bigint[], $2::bigint[], $3::smallint[]) as g (device_id, id, status)
    where m.device_id = g.device_id and m.id = g.id
    returning m.id, m.subscription_id, m.receipt, g.status
)
insert into push_receipt (reader, message_id, subscription_id, status, at)
select receipt, id, subscription_id, status, $4 from arrived where receipt is not null

-- name: cancel
-- A sender withdraws a message.
delete from push_message where subscription_id = $1 and id = $2 returning id

-- name: expire
-- Messages whose time is over; senders who asked hear it.
with over as (
    delete from push_message where (device_id, id) in (
        select device_id, id from push_message where expires_at <= $1
        order by expires_at limit $2 for update skip locked
    )
    returning id, subscription_id, receipt
), told as (
    insert into push_receipt (reader, message_id, subscription_id, status, at)
    select receipt, id, subscription_id, 410, $1 from over where receipt is not null
)
select count(*) from over

-- name: fetched
-- A reader has taken what it had up to a cursor.
delete from push_receipt where reader = $1 and (xid, id) <= ($2::text::xid8, $3)

-- name: receipts
-- A reader's receipts after a cursor, in the order of their transactions; those that may still be
-- overtaken by one that is not committed yet wait.
select xid::text::bigint as xid, id, message_id, subscription_id, status, at from push_receipt
where reader = $1 and (xid, id) > ($2::text::xid8, $3)
  and xid < pg_snapshot_xmin(pg_current_snapshot())
order by xid, id limit $4

-- name: receipts_of_ours
-- Receipts after a cursor, in the order of their transactions, with the message of ours (null: another
-- sender's) and what the endpoint was made of.
select r.xid::text::bigint as xid, r.id, m.app_id, m.id::text as message, r.message_id as push,
       r.status, (extract(epoch from r.at) * 1000000)::bigint as at_us,
       coalesce(s.device_id, e.device_id) as device, r.subscription_id as subscription,
       coalesce(s.channel, e.channel)::text as channel, coalesce(s.key_hash, e.key_hash) as key_hash
from (
    select * from push_receipt
    where (xid, id) > (select xid, id from push_receipt_read)
      and xid < pg_snapshot_xmin(pg_current_snapshot())
    order by xid, id limit $1
) r
left join message m on m.id = r.reader
left join push_subscription s on s.id = r.subscription_id
left join push_ended e on e.id = r.subscription_id
order by r.xid, r.id

-- name: receipts_read
-- Receipts up to a cursor were read; those of ours need not be kept.
with moved as (
    update push_receipt_read set xid = $1::text::xid8, id = $2
    where (xid, id) < ($1::text::xid8, $2)
)
delete from push_receipt where id = any($3::bigint[])

-- name: drop_ended
-- Ended subscriptions of which no receipt is to come.
delete from push_ended where id in (
    select id from push_ended where at < $1 order by id limit $2 for update skip locked
)

-- name: drop_receipts
-- Receipts that nobody fetched.
delete from push_receipt where id in (
    select id from push_receipt where at < $1 order by id limit $2 for update skip locked
)

-- name: join_node
-- A number that no living node has: the least free one. $3 is when a silent one counts as dead.
insert into push_node (id, owner, seen_at)
select n, $1, $2 from generate_series(0, 1023) n
where not exists (
    select from push_node p where p.id = n and p.seen_at >= $3 and p.owner is not null
)
order by n limit 1
on conflict (id) do update set
    owner = excluded.owner, seen_at = greatest(push_node.seen_at, excluded.seen_at)
where push_node.seen_at < $3 or push_node.owner is null
returning id, seen_at

-- name: beat
-- A node lives.
update push_node set seen_at = greatest(seen_at, $3) where id = $1 and owner = $2 returning id

-- name: living_nodes
-- Nodes that said since $1 that they live.
select count(*) from push_node where owner is not null and seen_at >= $1

-- name: leave_node
-- A node ends; the row says until when its number was used.
update push_node set owner = null, seen_at = greatest(seen_at, $3) where id = $1 and owner = $2
