-- name: put_credential
-- Stores or replaces an app's credential of a network; replacing ends a quarantine.
insert into credential (
    app_id, network, public, secret, expires_at, per_minute, state_at, created_at
) values ($1, $2, $3, $4, $5, $6, $7, $7)
on conflict (app_id, network) do update set
    version = credential.version + 1,
    public = excluded.public,
    secret = excluded.secret,
    expires_at = excluded.expires_at,
    per_minute = excluded.per_minute,
    state = 1,
    state_reason = null,
    state_at = excluded.state_at
returning id, app_id, network, version, public, state, state_reason, state_at, expires_at,
    per_minute, created_at;

-- name: get_credential
-- An app's credential of a network, without the secret.
select id, app_id, network, version, public, state, state_reason, state_at, expires_at,
    per_minute, created_at
from credential where app_id = $1 and network = $2;

-- name: list_credentials
-- All credentials of an app, or of every app when $1 is null, without secrets.
select id, app_id, network, version, public, state, state_reason, state_at, expires_at,
    per_minute, created_at
from credential where $1::int is null or app_id = $1 order by id;

-- name: load_credential
-- One credential with its sealed secret, for a sender.
select id, app_id, network, version, public, secret from credential where id = $1;

-- name: reinstate_credential
-- Uses a quarantined credential again.
update credential set state = 1, state_reason = null, state_at = $3
where app_id = $1 and network = $2 and state = 2
returning id;

-- name: delete_credential
-- Removes a credential; batches that refer to it stand in the way.
delete from credential where app_id = $1 and network = $2 returning id;

-- name: get_shared_token
-- The stored token of that name, if it is not older than $2.
select value from shared_token where name = $1 and minted_at >= $2;

-- name: mint_shared_token
-- Stores a token unless there is one that is not older than $4: of many minters one wins.
insert into shared_token (name, value, minted_at) values ($1, $2, $3)
on conflict (name) do update set value = excluded.value, minted_at = excluded.minted_at
where shared_token.minted_at < $4
returning value;

-- name: any_shared_token
-- The stored token of that name, whatever its age.
select value from shared_token where name = $1;
