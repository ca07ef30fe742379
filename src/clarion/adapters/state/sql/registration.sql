-- name: plan_for_many
-- Until this unit of work ends, plans are made for the arrays that are really given.
set local plan_cache_mode = force_custom_plan;

-- name: register_people
-- Creates the people of these external ids that are not known, changes those of whom something new
-- is said, and gives the id of each row; a row that lost a race against another writer is left out.
-- A change of consent marks the person's devices as changed, because dispatch looks at devices.
with said as materialized (
    select * from unnest(
        $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bool[]
    ) as t (row, external_id, attributes, language, time_zone, country, opted_out)
), known as materialized (
    select s.*, u.id, u.attributes as old_attributes
    from said s
    cross join lateral (
        select id, attributes from users
        where app_id = $1 and external_id = s.external_id limit 1
    ) u
), merged as (
    select k.*,
        case when k.attributes is null then k.old_attributes
            else jsonb_strip_nulls(k.old_attributes || k.attributes::jsonb)
        end as new_attributes
    from known k
    where num_nonnulls(k.attributes, k.language, k.time_zone, k.country, k.opted_out) > 0
), judged as (
    select m.*,
        m.attributes is not null and (
            octet_length(m.new_attributes::text) > $11
            or (select count(*) from jsonb_object_keys(m.new_attributes)) > $10
        ) as refused
    from merged m
), changed as (
    update users u set
        attributes = case when j.refused then u.attributes else j.new_attributes end,
        language = coalesce(j.language, u.language),
        time_zone = coalesce(j.time_zone, u.time_zone),
        country = coalesce(j.country, u.country),
        opted_out = coalesce(j.opted_out, u.opted_out),
        updated_at = $2,
        xid = pg_current_xact_id()
    from judged j
    where u.id = j.id and (
        (not j.refused and u.attributes is distinct from j.new_attributes)
        or u.language is distinct from coalesce(j.language, u.language)
        or u.time_zone is distinct from coalesce(j.time_zone, u.time_zone)
        or u.country is distinct from coalesce(j.country, u.country)
        or u.opted_out is distinct from coalesce(j.opted_out, u.opted_out)
    )
    returning u.id, j.opted_out is not null as consent
), marked as (
    update device set xid = pg_current_xact_id()
    where user_id in (select id from changed where consent)
), added as (
    insert into users (
        app_id, external_id, attributes, language, time_zone, country, opted_out, created_at,
        updated_at
    )
    select $1, s.external_id, jsonb_strip_nulls(coalesce(s.attributes, '{}')::jsonb), s.language,
        s.time_zone, s.country, coalesce(s.opted_out, false), $2, $2
    from said s
    where not exists (select from known k where k.row = s.row)
    order by s.external_id
    on conflict (app_id, external_id) where external_id is not null do nothing
    returning id, external_id
)
select k.row, k.id, coalesce((select j.refused from judged j where j.row = k.row), false) as refused
from known k
union all
select s.row, a.id, false from added a join said s using (external_id);

-- name: register_devices
-- Creates, changes, moves and resurrects devices; a device without a named person keeps its own,
-- and a new one gets an anonymous person. People who get a device are locked as a foreign key would
-- lock them, all at once. A row that lost a race, or whose person is gone, is left out.
with said as materialized (
    select *, case when active_us is null then null
            else timestamptz 'epoch' + active_us * interval '1 microsecond' end as active_at
    from unnest(
        $3::int[], $4::smallint[], $5::bytea[], $6::text[], $7::bytea[], $8::smallint[],
        $9::bigint[], $10::bool[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::text[], $18::text[], $19::float8[], $20::float8[], $21::text[],
        $22::bigint[]
    ) as t (row, network, token_key, token, keys, environment, user_id, opted_out, platform, os,
        os_version, model, app_version, language, time_zone, country, latitude, longitude,
        attributes, active_us)
), known as materialized (
    select s.row, d.id, d.user_id, d.attributes as old_attributes
    from said s
    cross join lateral (
        select id, user_id, attributes from device
        where app_id = $1 and network = s.network and token_key = s.token_key limit 1
    ) d
), merged as (
    select k.row, jsonb_strip_nulls(k.old_attributes || s.attributes::jsonb) as attributes
    from known k join said s using (row)
    where s.attributes is not null
), refused as materialized (
    select row from merged
    where octet_length(attributes::text) > $24
        or (select count(*) from jsonb_object_keys(attributes)) > $23
), owners as materialized (
    select id from users
    where id in (
        select s.user_id from said s left join known k using (row)
        where s.user_id is not null and s.user_id is distinct from k.user_id
    )
    order by id
    for key share
), changed as (
    update device d set
        user_id = coalesce(s.user_id, d.user_id),
        token = s.token,
        keys = coalesce(s.keys, d.keys),
        environment = case when s.environment = 0 then d.environment else s.environment end,
        state = 1,
        state_reason = 0,
        opted_out = coalesce(s.opted_out, d.opted_out),
        platform = coalesce(s.platform, d.platform),
        os = coalesce(s.os, d.os),
        os_version = coalesce(s.os_version, d.os_version),
        model = coalesce(s.model, d.model),
        app_version = coalesce(s.app_version, d.app_version),
        language = coalesce(s.language, d.language),
        time_zone = coalesce(s.time_zone, d.time_zone),
        country = coalesce(s.country, d.country),
        latitude = coalesce(s.latitude, d.latitude),
        longitude = coalesce(s.longitude, d.longitude),
        attributes = case
            when s.attributes is null or s.row in (select row from refused) then d.attributes
            else jsonb_strip_nulls(d.attributes || s.attributes::jsonb)
        end,
        last_active_at = greatest(s.active_at, d.last_active_at),
        registered_at = $2,
        updated_at = $2,
        xid = pg_current_xact_id()
    from known k join said s using (row)
    where d.id = k.id and (
        s.user_id is null or s.user_id = d.user_id or s.user_id in (select id from owners)
    )
    returning s.row, d.id, d.user_id
), fresh as materialized (
    select s.*, count(*) filter (where s.user_id is null) over (order by s.row) as stranger
    from said s
    where not exists (select from known k where k.row = s.row)
        and (s.user_id is null or s.user_id in (select id from owners))
), strangers as (
    insert into users (app_id, created_at, updated_at)
    select $1, $2, $2 from fresh where user_id is null
    returning id
), numbered as materialized (
    select id, row_number() over () as stranger from strangers
), added as (
    insert into device (
        app_id, user_id, network, token, token_key, keys, environment, opted_out, platform, os,
        os_version, model, app_version, language, time_zone, country, latitude, longitude,
        attributes, last_active_at, registered_at, created_at, updated_at
    )
    select $1, coalesce(f.user_id, n.id), f.network, f.token, f.token_key, f.keys, f.environment,
        coalesce(f.opted_out, false), f.platform, f.os, f.os_version, f.model, f.app_version,
        f.language, f.time_zone, f.country, f.latitude, f.longitude,
        jsonb_strip_nulls(coalesce(f.attributes, '{}')::jsonb), f.active_at, $2, $2, $2
    from fresh f left join numbered n on f.user_id is null and n.stranger = f.stranger
    order by f.row
    on conflict (app_id, network, token_key) do nothing
    returning id, user_id, network, token_key
)
select c.row, c.id, c.user_id, false as created, c.row in (select row from refused) as refused
from changed c
union all
select s.row, a.id, a.user_id, true, false
from added a join said s on s.network = a.network and s.token_key = a.token_key;

-- name: known_people
-- Which of these ids are people of the app.
select id from users where app_id = $1 and id = any($2::bigint[]);

-- name: forget_strangers
-- Removes anonymous people that were made for devices which another writer created first.
delete from users u
where u.app_id = $1 and u.external_id is null and u.xid = pg_current_xact_id()
    and u.created_at = $2
    and not exists (select from device d where d.user_id = u.id);
