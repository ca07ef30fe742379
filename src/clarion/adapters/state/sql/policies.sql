-- What the policies of an app's messages are made of.

-- name: rules
-- One row a category, each with the app's own rules: small, and asked at most every second or two.
select a.id as app_id, a.time_zone, a.default_category, a.quiet_hours::text as app_quiet_hours,
       a.caps::text as app_caps, a.unknown_zone, a.throttle_per_minute,
       c.id, c.slug, c.kind, c.slot, c.can_opt_out, c.default_state, c.caps_apply, c.quiet_applies,
       c.urgent, c.priority, c.quiet_hours::text as quiet_hours, c.caps::text as caps,
       c.digest::text as digest, c.archived_at is not null as archived
from app a join category c on c.app_id = a.id
where a.id = any ($1::int[])
order by c.slot
