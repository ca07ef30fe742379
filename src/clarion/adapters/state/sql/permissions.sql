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

-- name: note
-- One step of a device.
insert into prompt_event (app_id, device_id, what, state, at) values ($1, $2, $3, $4, $5);

-- name: funnel
-- Steps between two instants.
select what, count(*) as times, count(distinct device_id) as devices
from prompt_event where app_id = $1 and at >= $2 and at < $3 group by what;

-- name: permissions
-- How many living devices have which permission.
select permission, count(*) as devices from device where app_id = $1 and state = 1
group by permission order by permission;
