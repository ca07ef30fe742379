-- What devices' owners let the system show, and how they were asked.

-- name: place
-- Where a device stands.
select permission, permission_at, prompt from device where app_id = $1 and id = $2;

-- name: lock
-- The same, kept from other writers until the unit of work ends.
select permission, permission_at, prompt from device where app_id = $1 and id = $2 for update;

-- name: write
-- Where a device stands from now on; the instant moves with the permission only.
update device set
    permission = $3,
    permission_at = case when permission <> $3 or permission_at is null then $5
                         else permission_at end,
    prompt = $4,
    updated_at = $6,
    xid = pg_current_xact_id()
where app_id = $1 and id = $2
returning permission, permission_at, prompt;

-- name: known
-- Whether a step was told before.
select exists (select from prompt_event where app_id = $1 and key = $2::uuid);

-- name: note
-- One step of a device.
insert into prompt_event (app_id, device_id, what, state, at, version, key)
values ($1, $2, $3, $4, $5, $6, $7::uuid);

-- name: note_visitors
-- Steps of people who have no device; one that is told again is known by its key.
insert into prompt_event (app_id, key, what, state, at, version)
select $1, s.key, s.what, '', s.at, s.version
from unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::text[]) as s (key, what, at, version)
on conflict (app_id, key) where key is not null do nothing;

-- name: forget_visitors
-- The oldest steps of theirs from before $2, a few at a time.
delete from prompt_event where ctid = any (array(
    select ctid from prompt_event where app_id = $1 and device_id is null and at < $2
    order by at limit 100 for update skip locked
));

-- name: funnel
-- Steps between two instants.
select what, count(*) as times, count(distinct device_id) as devices
from prompt_event where app_id = $1 and at >= $2 and at < $3 group by what;

-- name: versions
-- Steps between two instants by the text that was shown, the most frequent ones.
select version, what, count(*) as times
from prompt_event where app_id = $1 and at >= $2 and at < $3 and version <> ''
group by version, what order by times desc, version, what limit 500;

-- name: days
-- Steps between two instants by the day (UTC), the device's language, and the text that was shown;
-- the most frequent ones.
select (p.at at time zone 'UTC')::date as day, coalesce(d.language, '') as language, p.version,
    p.what, count(*) as times
from prompt_event p left join device d on d.id = p.device_id
where p.app_id = $1 and p.at >= $2 and p.at < $3
group by 1, 2, 3, 4 order by times desc, day desc, language, version, what limit $4;

-- name: permissions
-- How many living devices have which permission.
select permission, count(*) as devices from device where app_id = $1 and state = 1
group by permission order by permission;
