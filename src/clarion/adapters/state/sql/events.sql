-- The inbox of events: whose they are, and each of them once.

-- name: staging
-- What arrives is copied here first: COPY itself can't leave out what is there already.
create temporary table if not exists event_arriving (
    day int, event_id uuid, user_id bigint, name text, at_us bigint, message_id uuid,
    device_id bigint, value double precision, properties jsonb
) on commit delete rows;

-- name: days
-- Partitions of these days, should they be missing.
select event_days((
    select array_agg(date '1970-01-01' + day) from unnest($1::int[]) as day
));

-- name: people
-- Whom names mean; columns come as texts of their values with U+001F between them, which no value
-- holds. A row tells the kind of name, its place in its column counted from 1, and who it is.
with found as (
    select 0 as kind, t.place, u.id, null::bigint as device
    from unnest(string_to_array($2, E'\x1f')) with ordinality as t (name, place)
    join users u on u.app_id = $1 and u.external_id = t.name
    union all
    select 1, t.place, a.user_id, null
    from unnest(string_to_array($3, E'\x1f'), string_to_array($4, E'\x1f')) with ordinality
        as t (label, value, place)
    join user_alias a on a.app_id = $1 and a.label = t.label and a.value = t.value
    union all
    select 2, t.place, u.id, null
    from unnest(string_to_array($5, E'\x1f')::bigint[]) with ordinality as t (id, place)
    join users u on u.app_id = $1 and u.id = t.id
    union all
    select 3, t.place, d.user_id, d.id
    from unnest(string_to_array($6, E'\x1f')::bigint[]) with ordinality as t (id, place)
    join device d on d.app_id = $1 and d.id = t.id
    union all
    select 4, t.place, d.user_id, d.id
    from unnest(string_to_array($7, E'\x1f')::smallint[], string_to_array($8, E'\x1f'))
        with ordinality as t (network, key, place)
    join device d on d.app_id = $1 and d.network = t.network and d.token_key = decode(t.key, 'hex')
)
select array_agg(kind) as kinds, array_agg(place) as places, array_agg(id) as ids,
    array_agg(device) as devices
from found;

-- name: create_people
-- People of external ids that nobody has; in one order for all, because inserts wait for each other.
insert into users (app_id, external_id, created_at, updated_at)
select $1, name, $3, $3 from unnest(string_to_array($2, E'\x1f')) as name order by name
on conflict (app_id, external_id) where external_id is not null do nothing;

-- name: record
-- What has arrived, without what is there; in one order for all.
insert into event (day, event_id, app_id, user_id, name, at, message_id, device_id, value,
                   properties)
select date '1970-01-01' + day, event_id, $1, user_id, name,
       timestamptz 'epoch' + at_us * interval '1 microsecond', message_id, device_id, value,
       properties
from event_arriving order by event_id
on conflict do nothing;
