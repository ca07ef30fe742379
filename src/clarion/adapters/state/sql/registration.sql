-- name: plan_for_many
-- Until this unit of work ends, plans are made for the arrays that are really given, and look rows
-- up: thousands of rows would else make a scan of the whole table look cheap.
select set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_seqscan', 'off', true);

-- name: register_people
-- Columns come as texts of their values with U+001F between them and U+001E for null, which no value
-- holds: the driver asks every element of an array what it is, which takes longer than all else.
-- Creates the people of these external ids that are not known, changes those of whom something new
-- is said, and gives the id of each row; a row that lost a race against another writer is left out.
-- A change of consent marks the person's devices as changed, because dispatch looks at devices.
with seen as materialized (
    select s.*, u.id, u.old_attributes, u.old_opted_out
    from unnest(
        string_to_array($3, E'\x1f', E'\x1e')::int[],
        string_to_array($4, E'\x1f', E'\x1e'),
        string_to_array($5, E'\x1f', E'\x1e'),
        string_to_array($6, E'\x1f', E'\x1e'),
        string_to_array($7, E'\x1f', E'\x1e'),
        string_to_array($8, E'\x1f', E'\x1e'),
        string_to_array($9, E'\x1f', E'\x1e')::bool[]
    ) as s (row, external_id, attributes, language, time_zone, country, opted_out)
    left join lateral (
        select id, opted_out as old_opted_out,
            case when s.attributes is not null then attributes end as old_attributes
        from users
        where app_id = $1 and external_id = s.external_id limit 1
    ) u on true
), merged as (
    select k.*, jsonb_strip_nulls(k.old_attributes || k.attributes::jsonb) as new_attributes
    from seen k
    where k.id is not null
        and num_nonnulls(k.attributes, k.language, k.time_zone, k.country, k.opted_out) > 0
), judged as materialized (
    select m.*,
        m.attributes is not null and (
            octet_length(m.new_attributes::text) > $11
            or (select count(*) from jsonb_object_keys(m.new_attributes)) > $10
        ) as refused
    from merged m
), changed as (
    update users u set
        attributes = case
            when j.attributes is null or j.refused then u.attributes
            else jsonb_strip_nulls(u.attributes || j.attributes::jsonb)
        end,
        language = coalesce(j.language, u.language),
        time_zone = coalesce(j.time_zone, u.time_zone),
        country = coalesce(j.country, u.country),
        opted_out = coalesce(j.opted_out, u.opted_out),
        updated_at = $2,
        xid = pg_current_xact_id()
    from judged j
    where u.id = j.id and (
        (j.attributes is not null and not j.refused
            and u.attributes is distinct from j.new_attributes)
        or u.language is distinct from coalesce(j.language, u.language)
        or u.time_zone is distinct from coalesce(j.time_zone, u.time_zone)
        or u.country is distinct from coalesce(j.country, u.country)
        or u.opted_out is distinct from coalesce(j.opted_out, u.opted_out)
    )
    returning u.id, j.row, j.opted_out is not null as consent,
        j.opted_out is distinct from coalesce(j.old_opted_out, j.opted_out) as turned
), marked as (
    update device set xid = pg_current_xact_id()
    where user_id in (select id from changed where consent)
), added as (
    insert into users (
        app_id, external_id, attributes, language, time_zone, country, opted_out, created_at,
        updated_at, suppressed
    )
    select $1, s.external_id,
        case when s.attributes is null then '{}' else jsonb_strip_nulls(s.attributes::jsonb) end,
        s.language, s.time_zone, s.country, coalesce(s.opted_out, false), $2, $2,
        exists (select from suppression p where p.app_id = $1 and p.external_id = s.external_id)
            or ((select exists (select from suppressed_hash where app_id = $1))
                and is_erased_name($1, s.external_id))
    from seen s
    where num_nulls(s.id) > 0 -- said so, the planner takes it for a third of the rows, not for none
    on conflict (app_id, external_id) where external_id is not null do nothing
    returning id, external_id
), done as (
    select k.row, k.id, false as added from seen k where k.id is not null
    union all
    select s.row, a.id, true from added a join seen s using (external_id)
), turned as (
    select row from changed where turned
    union all
    select s.row from added a join seen s using (external_id) where s.opted_out
)
select array_agg(row) as rows, array_agg(id) as ids, array_agg(added) as added,
    (select array_agg(row) from judged where refused) as refused,
    (select array_agg(row) from turned) as turned,
    pg_current_xact_id() as xid
from done;

-- name: register_devices
-- Creates, changes, moves and resurrects devices; a device without a named person keeps its own,
-- and a new one gets an anonymous person. People who get a device are locked as a foreign key would
-- lock them, all at once, except those whom this unit of work created itself. A row that lost a
-- race, or whose person is gone, is left out. Merged attributes of less than 460 octets are within
-- the limits: a member takes 9 octets and more, and its text is less than 40 times as long.
with seen as materialized (
    select s.row, s.network, s.token_key, s.user_id, s.ours, d.id, d.old_user, d.place, d.old_xid,
        $27 and d.id is not null and d.same
            and (s.attributes is null or d.merged = d.old_attributes) as same,
        pg_column_size(d.merged) >= 460 and (
            octet_length(d.merged::text) > $26
            or (select count(*) from jsonb_object_keys(d.merged)) > $25
        ) as refused,
        d.merged, s.token, s.keys, s.environment, s.opted_out, s.platform, s.os, s.os_version,
        s.model, s.app_version, s.language, s.time_zone, s.country, s.latitude, s.longitude,
        s.attributes, s.permission,
        timestamptz 'epoch' + s.active_us * interval '1 microsecond' as active_at
    from unnest(
        string_to_array($3, E'\x1f', E'\x1e')::int[],
        string_to_array($4, E'\x1f', E'\x1e')::smallint[],
        string_to_array($5, E'\x1f', E'\x1e')::bytea[],
        string_to_array($6, E'\x1f', E'\x1e'),
        string_to_array($7, E'\x1f', E'\x1e')::bytea[],
        string_to_array($8, E'\x1f', E'\x1e')::smallint[],
        string_to_array($9, E'\x1f', E'\x1e')::bigint[],
        string_to_array($10, E'\x1f', E'\x1e')::bool[],
        string_to_array($11, E'\x1f', E'\x1e'),
        string_to_array($12, E'\x1f', E'\x1e'),
        string_to_array($13, E'\x1f', E'\x1e'),
        string_to_array($14, E'\x1f', E'\x1e'),
        string_to_array($15, E'\x1f', E'\x1e'),
        string_to_array($16, E'\x1f', E'\x1e'),
        string_to_array($17, E'\x1f', E'\x1e'),
        string_to_array($18, E'\x1f', E'\x1e'),
        string_to_array($19, E'\x1f', E'\x1e')::float8[],
        string_to_array($20, E'\x1f', E'\x1e')::float8[],
        string_to_array($21, E'\x1f', E'\x1e'),
        string_to_array($22, E'\x1f', E'\x1e')::bigint[],
        string_to_array($23, E'\x1f', E'\x1e')::bool[],
        string_to_array($24, E'\x1f', E'\x1e')::smallint[]
    ) as s (row, network, token_key, token, keys, environment, user_id, opted_out, platform, os,
        os_version, model, app_version, language, time_zone, country, latitude, longitude,
        attributes, active_us, ours, permission)
    left join lateral (
        select d.id, d.ctid as place, d.xid as old_xid, d.user_id as old_user,
            d.attributes as old_attributes,
            case when s.attributes is not null
                then jsonb_strip_nulls(d.attributes || s.attributes::jsonb) end as merged,
            (d.state = 1 and d.token = s.token
                and (s.user_id is null or s.user_id = d.user_id)
                and (s.keys is null or s.keys = d.keys)
                and s.environment in (0, d.environment)
                and (s.opted_out is null or s.opted_out = d.opted_out)
                and (s.platform is null or s.platform = d.platform)
                and (s.os is null or s.os = d.os)
                and (s.os_version is null or s.os_version = d.os_version)
                and (s.model is null or s.model = d.model)
                and (s.app_version is null or s.app_version = d.app_version)
                and (s.language is null or s.language = d.language)
                and (s.time_zone is null or s.time_zone = d.time_zone)
                and (s.country is null or s.country = d.country)
                and (s.latitude is null or s.latitude = d.latitude)
                and (s.longitude is null or s.longitude = d.longitude)
                and (s.permission is null or s.permission = d.permission)
                and (s.active_us is null or timestamptz 'epoch'
                    + s.active_us * interval '1 microsecond' <= d.last_active_at)) is true as same
        from device d
        where d.app_id = $1 and d.network = s.network and d.token_key = s.token_key limit 1
    ) d on true
), owners as materialized (
    select id from users
    where id in (
        select user_id from seen
        where user_id is not null and not ours and user_id is distinct from old_user
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
        attributes = case when s.merged is null or s.refused then d.attributes else s.merged end,
        permission = coalesce(s.permission, d.permission),
        permission_at = case when s.permission <> d.permission then $2 else d.permission_at end,
        last_active_at = greatest(s.active_at, d.last_active_at),
        registered_at = $2,
        updated_at = $2,
        xid = pg_current_xact_id()
    from seen s
    -- What was merged is right only while nobody else has written the device since we looked.
    where d.ctid = s.place and d.id = s.id and d.xid = s.old_xid and not s.same and (
        s.user_id is null or s.user_id = s.old_user or s.ours
        or s.user_id in (select id from owners)
    )
    returning s.row, d.id, d.user_id, s.refused, nullif(s.old_user, d.user_id) as left_by
), fresh as not materialized (
    select s.* from seen s
    where num_nulls(s.id) > 0
        and (s.user_id is null or s.ours or s.user_id in (select id from owners))
), strange as (
    select row, row_number() over () as stranger from fresh where user_id is null
), strangers as (
    insert into users (app_id, created_at, updated_at)
    select $1, $2, $2 from strange
    returning id
), numbered as (
    select s.row, n.id
    from strange s
    join (select id, row_number() over () as stranger from strangers) n using (stranger)
), added as (
    insert into device (
        app_id, user_id, network, token, token_key, keys, environment, opted_out, platform, os,
        os_version, model, app_version, language, time_zone, country, latitude, longitude,
        attributes, last_active_at, registered_at, created_at, updated_at, permission,
        permission_at
    )
    select $1, coalesce(f.user_id, n.id), f.network, f.token, f.token_key, f.keys, f.environment,
        coalesce(f.opted_out, false), f.platform, f.os, f.os_version, f.model, f.app_version,
        f.language, f.time_zone, f.country, f.latitude, f.longitude,
        case when f.attributes is null then '{}' else jsonb_strip_nulls(f.attributes::jsonb) end,
        f.active_at, $2, $2, $2, coalesce(f.permission, 0),
        case when f.permission > 0 then $2 end
    from fresh f left join numbered n using (row)
    on conflict (app_id, network, token_key) do nothing
    returning id, user_id, network, token_key
), done as (
    select row, id, user_id, false as created, refused, left_by from changed
    union all
    select row, id, old_user, false, false, null from seen where same
    union all
    select s.row, a.id, a.user_id, true, false, null
    from added a join seen s on s.network = a.network and s.token_key = a.token_key
)
select array_agg(row) as rows, array_agg(id) as ids, array_agg(user_id) as users,
    array_agg(created) as created, array_agg(row) filter (where refused) as refused,
    array_agg(row) filter (where left_by is not null) as moved,
    array_agg(left_by) filter (where left_by is not null) as left_by,
    pg_current_xact_id() as xid
from done;

-- name: drop_aliases
-- Takes aliases from people where a new value, or none (null), is given for the label.
delete from user_alias a
using unnest($1::bigint[], $2::text[], $3::text[]) as t (user_id, label, value)
where a.user_id = t.user_id and a.label = t.label and a.value is distinct from t.value;

-- name: add_aliases
-- Gives people aliases that nobody has.
insert into user_alias (app_id, label, value, user_id)
select $1, t.label, t.value, t.user_id
from unnest($2::bigint[], $3::text[], $4::text[]) as t (user_id, label, value)
where t.value is not null
order by t.label, t.value
on conflict (app_id, label, value) do nothing;

-- name: foreign_aliases
-- Those of these aliases, counted from 1, that somebody else has.
select t.place
from unnest($2::bigint[], $3::text[], $4::text[]) with ordinality
    as t (user_id, label, value, place)
join user_alias a on a.app_id = $1 and a.label = t.label and a.value = t.value
where a.user_id <> t.user_id;

-- name: known_people
-- Which of these ids are people of the app.
select id from users where app_id = $1 and id = any($2::bigint[]);

-- name: forget_strangers
-- Removes anonymous people that were made for devices which another writer created first.
delete from users u
where u.app_id = $1 and u.external_id is null and u.xid = pg_current_xact_id()
    and u.created_at = $2
    and not exists (select from device d where d.user_id = u.id);
