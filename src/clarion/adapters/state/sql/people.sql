-- name: by_external_id
-- Who is called so.
select id from users where app_id = $1 and external_id = $2;

-- name: by_alias
-- Who has that alias.
select user_id from user_alias where app_id = $1 and label = $2 and value = $3;

-- name: get_person
-- One person with aliases.
select u.id, u.app_id, u.external_id, u.attributes, u.language, u.time_zone, u.country,
    u.opted_out, u.created_at, u.updated_at,
    (select jsonb_agg(jsonb_build_array(a.label, a.value) order by a.label, a.value)
        from user_alias a where a.user_id = u.id) as aliases
from users u where u.app_id = $1 and u.id = $2;

-- name: page_people
-- People with aliases in order of the id.
select u.id, u.app_id, u.external_id, u.attributes, u.language, u.time_zone, u.country,
    u.opted_out, u.created_at, u.updated_at,
    (select jsonb_agg(jsonb_build_array(a.label, a.value) order by a.label, a.value)
        from user_alias a where a.user_id = u.id) as aliases
from users u where u.app_id = $1 and u.id > $2 order by u.id limit $3;

-- name: lock_people
-- Keeps others from changing these people until the unit of work ends; in one order for all.
select id from users where app_id = $1 and id = any($2::bigint[]) order by id for update;

-- name: lock_owner
-- Keeps a person who is about to get a device from being removed or merged meanwhile.
select id from users where app_id = $1 and id = $2 for key share;

-- name: insert_person
-- Creates a person, suppressed where a list says so; nothing comes back when another writer was
-- first with the external id.
insert into users (app_id, external_id, created_at, updated_at, suppressed)
select $1, $2, $3, $3,
    exists (select from suppression s where s.app_id = $1 and s.external_id = $2)
        or ((select exists (select from suppressed_hash where app_id = $1))
            and is_erased_name($1, $2))
on conflict (app_id, external_id) where external_id is not null do nothing
returning id;

-- name: update_person
-- Writes what is known of a person; where the consent changed, the devices count as changed too,
-- because dispatch looks at devices.
with person as (
    update users set
        attributes = $3, language = $4, time_zone = $5, country = $6, opted_out = $7,
        updated_at = $8, xid = pg_current_xact_id()
    where app_id = $1 and id = $2
    returning id
)
update device set xid = pg_current_xact_id()
where $9 and user_id in (select id from person);

-- name: name_person
-- An anonymous person gets an external id.
update users set
    external_id = $3,
    suppressed = exists (select from suppression s where s.app_id = $1 and s.external_id = $3)
        or ((select exists (select from suppressed_hash where app_id = $1))
            and is_erased_name($1, $3)),
    updated_at = $4,
    xid = pg_current_xact_id()
where app_id = $1 and id = $2 and external_id is null;

-- name: move_belongings
-- Devices, aliases, lists and topics of the person $2 go to the person $3; what that person joined
-- or left before stays so.
with moved as (
    update user_alias set user_id = $3 where app_id = $1 and user_id = $2
), listed as (
    insert into list_member (list_id, user_id)
    select list_id, $3 from list_member where user_id = $2 and member order by list_id
    on conflict (list_id, user_id) do nothing
), subscribed as (
    insert into topic_member (app_id, topic, user_id)
    select app_id, topic, $3 from topic_member
    where app_id = $1 and user_id = $2 and member order by topic
    on conflict (app_id, topic, user_id) do nothing
)
update device set user_id = $3, updated_at = $4, xid = pg_current_xact_id()
where app_id = $1 and user_id = $2;

-- name: note_merge
-- What is recorded under the number $2 is about the person $3 from now on.
insert into merged (from_id, to_id, app_id, merged_at) values ($2, $3, $1, $4);

-- name: numbers
-- All numbers that stand for a person.
select array(select from_id from merged where app_id = $1 and to_id = $2 order by from_id) || $2;

-- name: drop_aliases
-- Takes the aliases of these labels from a person.
delete from user_alias where user_id = $1 and label = any($2::text[]);

-- name: add_aliases
-- Gives a person aliases that nobody has.
insert into user_alias (app_id, label, value, user_id)
select $1, t.label, t.value, $2 from unnest($3::text[], $4::text[]) as t (label, value)
order by t.label, t.value
on conflict (app_id, label, value) do nothing;

-- name: foreign_aliases
-- Those of these aliases that somebody else has.
select a.label, a.value
from unnest($3::text[], $4::text[]) as t (label, value)
join user_alias a on a.app_id = $1 and a.label = t.label and a.value = t.value
where a.user_id <> $2 order by a.label;

-- name: delete_person
-- Removes a person with devices, aliases and the numbers that stood for them, and leaves the marks
-- by which copies forget them.
with devices as (
    delete from device where app_id = $1 and user_id = $2 returning id
), person as (
    delete from users where app_id = $1 and id = $2 returning id
), numbers as (
    delete from merged where app_id = $1 and to_id = $2 returning from_id
), marks as (
    insert into removal (kind, id, app_id)
    select 2, id, $1 from devices union all select 1, id, $1 from person
    union all select 1, from_id, $1 from numbers
)
select id from person;
