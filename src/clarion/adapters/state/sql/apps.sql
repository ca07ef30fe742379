-- name: insert_app
-- Makes a tenant; nothing comes back when the name is taken.
insert into app (name, time_zone, language, created_at) values ($1, $2, $3, $4)
on conflict (name) do nothing
returning id, name, time_zone, language, created_at;

-- name: get_app
-- The tenant of that id.
select id, name, time_zone, language, created_at from app where id = $1;

-- name: find_app
-- The tenant of that name.
select id, name, time_zone, language, created_at from app where name = $1;

-- name: list_apps
-- Every tenant.
select id, name, time_zone, language, created_at from app order by id;
