-- Categories of messages, and what an app decides for all of them. Whoever changes one holds the
-- app's row, because slots and the number of caps are judged over all of them.

-- name: list
-- Every category of an app, or the one of a slug.
select id, slug, name, description, kind, slot, can_opt_out, default_state, caps_apply,
    quiet_applies, urgent, priority, quiet_hours, caps, digest, names, created_at, archived_at
from category where app_id = $1 and ($2::text is null or slug = $2) order by slot;

-- name: hold_app
-- The app's own rules; nobody else changes them or a category meanwhile.
select time_zone, language, default_category, quiet_hours, caps, throttle_per_minute, unknown_zone
from app where id = $1 for no key update;

-- name: app
-- The app's own rules.
select time_zone, language, default_category, quiet_hours, caps, throttle_per_minute, unknown_zone
from app where id = $1;

-- name: configure
-- Writes the app's own rules.
update app set time_zone = $2, language = $3, default_category = $4, quiet_hours = $5, caps = $6,
    throttle_per_minute = $7, unknown_zone = $8, policy_version = policy_version + 1
where id = $1;

-- name: insert
-- Makes a category.
insert into category (app_id, slug, name, description, kind, slot, can_opt_out, default_state,
    caps_apply, quiet_applies, urgent, priority, quiet_hours, caps, digest, names, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: update
-- Writes a category; its slug, its kind and its slot stay.
update category set name = $3, description = $4, can_opt_out = $5, default_state = $6,
    caps_apply = $7, quiet_applies = $8, urgent = $9, priority = $10, quiet_hours = $11, caps = $12,
    digest = $13, names = $14
where app_id = $1 and slug = $2;

-- name: archive
-- Takes a category out of use, or back.
update category set archived_at = $3 where app_id = $1 and slug = $2;

-- name: new_policy
-- Says that the rules changed.
update app set policy_version = policy_version + 1 where id = $1;
