-- name: get_device
-- One device.
select * from device where app_id = $1 and id = $2;

-- name: find_device
-- The device of a token.
select * from device where app_id = $1 and network = $2 and token_key = $3;

-- name: devices_of_person
-- All devices of a person, dead ones included.
select * from device where app_id = $1 and user_id = $2 order by id;

-- name: page_devices
-- Devices in order of the id.
select * from device where app_id = $1 and id > $2 order by id limit $3;

-- name: more_devices_than
-- Who of these people has more living devices than that, and how many. Dead ones do not count:
-- tokens that somebody made up keep a person's own devices out only until the network has named them.
select user_id, count(*) as n from device where user_id = any ($1::bigint[]) and state = 1
group by user_id having count(*) > $2;

-- name: lock_device
-- One device, kept from other writers until the unit of work ends.
select * from device where app_id = $1 and id = $2 for update;

-- name: update_device
-- Writes what is known of a device; its token and its state have other ways.
update device set
    user_id = $3, opted_out = $4, platform = $5, os = $6, os_version = $7, model = $8,
    app_version = $9, language = $10, time_zone = $11, country = $12, latitude = $13,
    longitude = $14, attributes = $15, last_active_at = $16, updated_at = $17,
    xid = pg_current_xact_id()
where app_id = $1 and id = $2
returning *;

-- name: lock_renewed
-- The devices of an old token and of the new one, kept from other writers.
select id, token_key from device
where app_id = $1 and network = $2 and token_key = any ($3::bytea[])
order by id for update;

-- name: renew_device
-- A device's own app says that it has another token; all else that is known of it stays.
update device set
    token = $3, token_key = $4, keys = coalesce($5, keys), state = 1, state_reason = 0,
    registered_at = $6, updated_at = $6, xid = pg_current_xact_id()
where app_id = $1 and id = $2;

-- name: delete_device
-- Removes a device, and leaves the mark by which copies forget it.
with gone as (
    delete from device where app_id = $1 and id = $2 returning id
), mark as (
    insert into removal (kind, id, app_id) select 2, id, $1 from gone
)
select id from gone;

-- name: bury_devices
-- Devices whose tokens the network calls dead become tombstones, unless the token was registered
-- since the network knew (Apple's rule for 410; an instant of 0: the network does not say).
update device d set
    state = 2, state_reason = t.reason, updated_at = $4, xid = pg_current_xact_id()
from unnest($1::bigint[], $2::smallint[], $3::bigint[]) as t (id, reason, dead_us)
where d.id = t.id and d.state = 1 and (
    t.dead_us = 0
    or d.registered_at < timestamptz 'epoch' + t.dead_us * interval '1 microsecond'
)
returning d.id;

-- name: replace_tokens
-- Living devices get the tokens that the network named in place of theirs; where another device of
-- the app already has such a token, the old device becomes a tombstone instead.
with said as (
    select t.row, t.token, t.token_key, d.id, d.app_id, d.network,
        row_number() over (partition by d.app_id, d.network, t.token_key order by t.row) as place
    from unnest($1::bigint[], $2::text[], $3::bytea[]) with ordinality as t (id, token, token_key, row)
    join device d on d.id = t.id
    where d.state = 1 and d.token_key <> t.token_key
), judged as (
    select s.*, s.place > 1 or exists (
        select from device o
        where o.app_id = s.app_id and o.network = s.network and o.token_key = s.token_key
    ) as taken
    from said s
)
update device d set
    token = case when j.taken then d.token else j.token end,
    token_key = case when j.taken then d.token_key else j.token_key end,
    registered_at = case when j.taken then d.registered_at else $4 end,
    state = case when j.taken then 2 else 1 end,
    state_reason = case when j.taken then $5::smallint else 0 end,
    updated_at = $4,
    xid = pg_current_xact_id()
from judged j
where d.id = j.id
returning d.id, j.taken;
