-- From the names in a request to devices, for many messages at once.

-- name: resolve
-- One row a device (or a user without one), with the index of the message that names it.
-- `named` says which of the request's names it came from, so that unknown ones can be told.
with named as (
    select t.ix, t.n, u.id, null::bigint as device
    from unnest($1::int[], $2::int[], $3::int[], $4::text[]) as t (ix, n, app_id, external_id)
    join users u on u.app_id = t.app_id and u.external_id = t.external_id
    union
    select t.ix, t.n, a.user_id, null
    from unnest($5::int[], $6::int[], $7::int[], $8::text[], $9::text[])
         as t (ix, n, app_id, label, value)
    join user_alias a on a.app_id = t.app_id and a.label = t.label and a.value = t.value
    union all
    select t.ix, t.n, d.user_id, d.id
    from unnest($10::int[], $11::int[], $12::int[], $13::bigint[]) as t (ix, n, app_id, id)
    join device d on d.app_id = t.app_id and d.id = t.id
)
select p.ix, p.n, coalesce(d.id, 0) as device, u.id as "user", coalesce(d.network, 0) as network,
       coalesce(d.environment, 0) as environment,
       coalesce((extract(epoch from d.registered_at) * 1000000)::bigint, 0) as registered_us,
       coalesce(d.state <> 1, false) as dead, coalesce(d.opted_out, false) as device_opted_out,
       u.opted_out as user_opted_out,
       case when d.state = 1 then convert_to(d.token, 'UTF8') end as token, d.keys,
       coalesce(d.language, u.language) as language,
       coalesce(d.time_zone, u.time_zone) as time_zone,
       case when d.time_zone is not null then 1 when u.time_zone is not null then 2 else 0
            end as zone_source,
       coalesce(d.country, u.country) as country,
       u.granted, u.denied, u.daily, u.weekly,
       coalesce((extract(epoch from u.paused_until) * 1000000)::bigint, 0) as paused_until_us,
       u.quiet_hours, u.suppressed, coalesce(d.permission, 0) as permission,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid
from named p
join users u on u.id = p.id
left join device d on d.user_id = p.id and (p.device is null or d.id = p.device)
