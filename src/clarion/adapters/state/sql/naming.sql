-- From names to people, many at once.

-- name: plan_for_many
-- Until this unit of work ends, plans are made for the names that are really given, and look rows
-- up: a plan from when the tables were small would read them whole, once for each name.
select set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_seqscan', 'off', true);

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
-- People of external ids that nobody has, suppressed where a list says so; in one order for all,
-- because inserts wait for each other.
insert into users (app_id, external_id, created_at, updated_at, suppressed)
select $1, name, $3, $3,
    exists (select from suppression s where s.app_id = $1 and s.external_id = name)
        or ((select exists (select from suppressed_hash where app_id = $1))
            and is_erased_name($1, name))
from unnest(string_to_array($2, E'\x1f')) as name order by name
on conflict (app_id, external_id) where external_id is not null do nothing;
