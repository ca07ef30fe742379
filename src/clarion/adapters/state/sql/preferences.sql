-- What people decide for themselves.

-- name: person
-- A person's own decisions.
select u.id, u.external_id, u.language, u.time_zone, u.opted_out, u.paused_until, u.quiet_hours, u.granted,
    u.denied, u.daily, u.weekly, a.name as app_name, a.language as app_language
from users u join app a on a.id = u.app_id where u.app_id = $1 and u.id = $2;

-- name: waiting
-- Categories whose last entry of the person is a provisional yes.
select category_id from (
    select distinct on (category_id) category_id, change from consent_ledger
    where app_id = $1 and user_id = $2 and category_id is not null
    order by category_id, number desc
) as last where change = 3;

-- name: write
-- Writes what is no consent; dispatch looks at devices, so they count as changed.
with changed as (
    update users set daily = $3, weekly = $4, paused_until = $5, quiet_hours = $6, language = $7,
        time_zone = $8, updated_at = $9, xid = pg_current_xact_id()
    where app_id = $1 and id = $2
    returning id
)
update device set xid = pg_current_xact_id() where user_id in (select id from changed);

-- name: signing_key
-- The sealed keys of an app's links.
select signing_key from app where id = $1;

-- name: set_signing_key
-- Writes the sealed keys, unless somebody else changed them since we looked.
update app set signing_key = $2 where id = $1 and signing_key is not distinct from $3 returning id;
