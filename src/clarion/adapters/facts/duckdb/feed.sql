-- name: horizon
-- Every transaction below this has ended: what it committed can be seen.
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: users
-- A page of changed users, by transaction and id, so that no group of equal xid is cut unseen.
select id, app_id as app, external_id, opted_out, language, time_zone, country,
       attributes::text as attributes, created_at, xid::text::bigint as xid
from users
where xid >= $1::text::xid8 and (xid, id) > ($1::text::xid8, $2::bigint) and xid < $3::text::xid8
order by xid, id limit $4

-- name: device
-- The same of devices.
select id, app_id as app, user_id, network, environment, state <> 1 as dead, opted_out, token,
       encode(keys, 'hex') as keys,
       (extract(epoch from registered_at) * 1000000)::bigint as registered_us,
       last_active_at, platform, os, os_version, model, app_version, language, time_zone, country,
       latitude, longitude, attributes::text as attributes, xid::text::bigint as xid
from device
where xid >= $1::text::xid8 and (xid, id) > ($1::text::xid8, $2::bigint) and xid < $3::text::xid8
order by xid, id limit $4

-- name: removal
-- What was removed for good.
select kind, id from removal where xid >= $1::text::xid8 and xid < $2::text::xid8

-- name: chunks
-- A page of recorded outcomes.
select id, app_id, message_ids::text[] as message_ids, rows, notes, provider_ids::text,
       xid::text::bigint as xid
from chunk
where xid >= $1::text::xid8 and (xid, id) > ($1::text::xid8, $2::bigint) and xid < $3::text::xid8
order by xid, id limit $4

-- name: drop_chunks
-- Drained long ago: kept for a while so that a lost facts file loses less.
delete from chunk where id in (
    select id from chunk where xid < $1::text::xid8 and created_at < $2 limit $3
)
