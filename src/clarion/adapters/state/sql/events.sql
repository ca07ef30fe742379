-- The inbox of events: each of them once.

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

-- name: record
-- What has arrived, without what is there; in one order for all.
insert into event (day, event_id, app_id, user_id, name, at, message_id, device_id, value,
                   properties)
select date '1970-01-01' + day, event_id, $1, user_id, name,
       timestamptz 'epoch' + at_us * interval '1 microsecond', message_id, device_id, value,
       properties
from event_arriving order by event_id
on conflict do nothing;

-- name: record_few
-- Events as arrays, those left out that are there; of an id that is given twice the first counts.
-- How many are new, and the transaction.
with fresh as (
    insert into event (day, event_id, app_id, user_id, name, at, message_id, device_id, value,
                       properties)
    select date '1970-01-01' + t.day, t.id, $1, t.person, t.name,
           timestamptz 'epoch' + t.at_us * interval '1 microsecond', t.message, t.device, t.value,
           t.properties::jsonb
    from unnest($2::int[], $3::uuid[], $4::bigint[], $5::text[], $6::bigint[], $7::uuid[],
                $8::bigint[], $9::double precision[], $10::text[]) with ordinality
        as t (day, id, person, name, at_us, message, device, value, properties, place)
    order by t.id, t.place
    on conflict do nothing
    returning 1
)
select count(*) as recorded, pg_current_xact_id()::text::bigint as xid from fresh;
