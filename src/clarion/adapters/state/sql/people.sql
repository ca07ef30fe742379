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

-- name: anonymous
-- Those of these people whom nobody has named, and since when they are there.
select id, created_at from users where app_id = $1 and id = any($2::bigint[]) and external_id is null;

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

-- name: lock_known
-- The same for people who are about to absorb others. Whoever gives one of them a device holds them
-- too, in a weaker way that this one does not wait for: two who did both at once would never end.
select id from users where app_id = $1 and id = any($2::bigint[]) order by id for no key update;

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

-- name: estates
-- What is known of people: of all of these ($3), or of those of whom more is known than their
-- devices, aliases, lists and topics.
select u.id, u.external_id, u.attributes, u.language, u.time_zone, u.country, u.opted_out,
    u.granted, u.denied, u.daily, u.weekly, u.paused_until, u.quiet_hours,
    exists (select from consent_ledger l where l.app_id = $1 and l.user_id = u.id) as decided
from users u
where u.app_id = $1 and u.id = any($2::bigint[]) and (
    $3 or u.attributes <> '{}' or u.opted_out or u.quiet_hours is not null
    or num_nonnulls(u.language, u.time_zone, u.country, u.paused_until) > 0
    or u.granted | u.denied | u.daily | u.weekly <> 0
    or exists (select from consent_ledger l where l.app_id = $1 and l.user_id = u.id)
)
order by u.id;

-- name: inherit
-- Writes what people have taken over; where dispatch has to hear of it, the devices count as changed.
with heir as (
    select * from unnest($3::bigint[], $4::jsonb[], $5::text[], $6::text[], $7::text[], $8::bool[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::timestamptz[],
        $14::text[], $15::bool[])
        as t (id, attributes, language, time_zone, country, opted_out, granted, denied, daily,
            weekly, paused_until, quiet_hours, marked)
), changed as (
    update users u set
        attributes = h.attributes, language = h.language, time_zone = h.time_zone,
        country = h.country, opted_out = h.opted_out, granted = h.granted, denied = h.denied,
        daily = h.daily, weekly = h.weekly, paused_until = h.paused_until,
        quiet_hours = h.quiet_hours, updated_at = $2, xid = pg_current_xact_id()
    from heir h where u.app_id = $1 and u.id = h.id
)
update device set xid = pg_current_xact_id()
where user_id in (select id from heir where marked);

-- name: merges_since
-- How often these people absorbed others since an instant, and when that was for the first time.
select to_id, count(*) as times, min(merged_at) as first_at from merged
where to_id = any($1::bigint[]) and merged_at > $2 group by to_id;

-- name: move_belongings
-- Devices, aliases, lists and topics of the people $2 go to the people $3, pair by pair; what those
-- joined or left before stays so.
with pair as (
    select * from unnest($2::bigint[], $3::bigint[]) as p (stranger, known)
), moved as (
    update user_alias a set user_id = p.known from pair p
    where a.app_id = $1 and a.user_id = p.stranger
), listed as (
    insert into list_member (list_id, user_id)
    select distinct m.list_id, p.known from list_member m join pair p on m.user_id = p.stranger
    where m.member order by m.list_id, p.known
    on conflict (list_id, user_id) do nothing
), subscribed as (
    insert into topic_member (app_id, topic, user_id)
    select distinct m.app_id, m.topic, p.known
    from topic_member m join pair p on m.user_id = p.stranger
    where m.app_id = $1 and m.member order by m.topic, p.known
    on conflict (app_id, topic, user_id) do nothing
)
update device d set user_id = p.known, updated_at = $4, xid = pg_current_xact_id()
from pair p where d.app_id = $1 and d.user_id = p.stranger;

-- name: note_merges
-- What is recorded under the numbers $2 is about the people $3 from now on.
insert into merged (from_id, to_id, app_id, merged_at)
select stranger, known, $1, $4 from unnest($2::bigint[], $3::bigint[]) as p (stranger, known);

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

-- name: delete_people
-- Removes people with devices, aliases and the numbers that stood for them, and leaves the marks by
-- which copies forget them.
with devices as (
    delete from device where app_id = $1 and user_id = any($2::bigint[]) returning id
), people as (
    delete from users where app_id = $1 and id = any($2::bigint[]) returning id
), numbers as (
    delete from merged where app_id = $1 and to_id = any($2::bigint[]) returning from_id
), marks as (
    insert into removal (kind, id, app_id)
    select 2, id, $1 from devices union all select 1, id, $1 from people
    union all select 1, from_id, $1 from numbers
)
select id from people;
