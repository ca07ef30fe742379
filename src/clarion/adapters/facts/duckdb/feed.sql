-- name: snapshot
-- What is visible from here on: the transaction around it is REPEATABLE READ.
select pg_current_snapshot()::text

-- name: users
-- What the last pass did not see. The index finds the transactions, the snapshot decides.
select id, app_id as app, id % 1024 as bucket, external_id, opted_out, language, time_zone, country,
       attributes::text as attributes, created_at, granted, denied, daily, weekly,
       coalesce((extract(epoch from paused_until) * 1000000)::bigint, 0) as paused_until_us,
       quiet_hours, suppressed, xid::text::bigint as xid
from users
where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)

-- name: device
-- The same of devices; they lie in the bucket of their user.
select id, app_id as app, user_id % 1024 as bucket, user_id, network, environment,
       state <> 1 as dead, opted_out, token, encode(keys, 'hex') as keys,
       (extract(epoch from registered_at) * 1000000)::bigint as registered_us,
       last_active_at, platform, os, os_version, model, app_version, language, time_zone, country,
       latitude, longitude, attributes::text as attributes, permission, xid::text::bigint as xid
from device
where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)

-- name: list_member
-- The same of lists; whoever left is a row that says so.
select l.app_id as app, m.list_id, m.user_id, m.member, m.xid::text::bigint as xid
from list_member m join list l on l.id = m.list_id
where m.xid >= $1::text::xid8 and not pg_visible_in_snapshot(m.xid, $2::text::pg_snapshot)

-- name: topic_member
-- The same of topics.
select app_id as app, topic, user_id, member, xid::text::bigint as xid
from topic_member
where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)

-- name: removal
-- What was removed for good.
select kind, id, xid::text::bigint as xid from removal
where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)

-- name: merged
-- Numbers of anonymous people that stand for somebody else since they logged in.
select from_id, to_id, xid::text::bigint as xid from merged
where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)

-- name: gone
-- People who were removed, and are nobody else.
select r.id, r.xid::text::bigint as xid from removal r
where r.kind = 1 and not exists (select from merged m where m.from_id = r.id)
  and r.xid >= $1::text::xid8 and not pg_visible_in_snapshot(r.xid, $2::text::pg_snapshot)

-- name: last_mark
-- The newest transaction of which a mark is visible, whatever the mark says.
select coalesce(max(newest), 0) from (
    (select merged.xid::text::bigint as newest from merged order by merged.xid desc limit 1)
    union all
    (select removal.xid::text::bigint as newest from removal order by removal.xid desc limit 1)
) as newest_of_each

-- name: clear_inbox
-- What these people did and waits for the columns, or is kept beside them.
delete from event where user_id = any ($1::bigint[])

-- name: chunks
-- A page of recorded outcomes: so many chunks and octets, but never half a transaction.
select id, app_id, kind, message_ids::text[] as message_ids, rows, notes, provider_ids::text,
       meta::text as meta, xid::text::bigint as xid,
       (extract(epoch from created_at) * 1000000)::bigint as created_us
from (
    select *, sum(octet_length(rows)) over (order by xid) as octets,
           first_value(xid) over (order by xid) as first
    from (
        select * from chunk
        where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
        order by xid fetch first $3 rows with ties
    ) as found
) as weighed
where octets <= $4 or xid = first
order by xid, id

-- name: drop_chunks
-- Taken in long ago: kept for a while so that a lost facts file loses less.
delete from chunk where id in (
    select id from chunk
    where created_at < $2 and pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
    order by xid limit $3
)

-- name: last_change
-- The newest transaction of which a row is visible: the end of an index. The column is named by its
-- table in `order by`, for the bare name would mean the converted output, which no index holds.
select coalesce(max(newest), 0) from (
    (select users.xid::text::bigint as newest from users order by users.xid desc limit 1)
    union all
    (select device.xid::text::bigint as newest from device order by device.xid desc limit 1)
    union all
    (select m.xid::text::bigint as newest from list_member m order by m.xid desc limit 1)
    union all
    (select m.xid::text::bigint as newest from topic_member m order by m.xid desc limit 1)
    union all
    (select removal.xid::text::bigint as newest from removal order by removal.xid desc limit 1)
) as newest_of_each
