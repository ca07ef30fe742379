-- name: insert_key
-- Stores a new key; only the hash of its secret.
insert into api_key (id, app_id, scope, name, secret_hash, created_at, expires_at, lifetime)
values ($1, $2, $3, $4, $5, $6, $7, $7::timestamptz - $6::timestamptz)
returning id, app_id, scope, name, secret_hash, created_at, expires_at, revoked_at, last_used_at;

-- name: find_key
-- The key of that id, whatever app it belongs to.
select id, app_id, scope, name, secret_hash, created_at, expires_at, revoked_at, last_used_at
from api_key where id = $1;

-- name: list_keys
-- All keys of an app, newest first.
select id, app_id, scope, name, secret_hash, created_at, expires_at, revoked_at, last_used_at
from api_key where app_id = $1 order by created_at desc, id;

-- name: note_use
-- Notes that a key was used at $2, unless another process noted it in the minute before.
update api_key set last_used_at = $2
where id = $1 and (last_used_at is null or last_used_at <= $2::timestamptz - interval '1 minute');

-- name: retire_key
-- A living key ends at $4 at the latest; its scope, name and lifetime go to its successor.
update api_key set expires_at = least(expires_at, $4)
where id = $2 and app_id = $1 and revoked_at is null and (expires_at is null or expires_at > $3)
returning scope, name, lifetime;

-- name: revoke_key
-- Ends a living key now.
update api_key set revoked_at = $3
where id = $2 and app_id = $1 and revoked_at is null and (expires_at is null or expires_at > $3)
returning id;
