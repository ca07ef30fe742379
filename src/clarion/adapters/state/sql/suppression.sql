-- Suppression lists. Who makes people shares the app's lock until its unit of work ends; who changes
-- a list has it alone: so nobody comes unseen between the look at the list and the commit.

-- name: hold_shared
-- Nobody changes the lists of this app meanwhile.
select pg_advisory_xact_lock_shared(1937076336, $1);

-- name: hold_alone
-- Nobody makes people of this app meanwhile.
select pg_advisory_xact_lock(1937076336, $1);

-- name: page
-- Lists behind a name with their sizes, or the one of a name.
select l.id, l.name, l.description, l.created_at,
    (select count(*) from suppression s where s.list_id = l.id) as names,
    (select count(*) from suppressed_hash h where h.list_id = l.id) as erased
from suppression_list l where l.app_id = $1 and ($2::text is null or l.name = $2)
    and l.name > $3
order by l.name limit $4;

-- name: put
-- Makes a list, or changes its description.
insert into suppression_list (app_id, name, description, created_at) values ($1, $2, $3, $4)
on conflict (app_id, name) do update set description = excluded.description
returning xmax = 0 as created;

-- name: lock
-- One list, kept from being removed meanwhile.
select id from suppression_list where app_id = $1 and name = $2 for share;

-- name: delete
-- Removes a list with its names and hashes; the names come back, those of people who came again too.
with gone as (
    delete from suppression where list_id = $1 returning external_id
), hashes as (
    delete from suppressed_hash where list_id = $1 returning app_id, hash
), again as (
    select external_id from users
    where app_id = (select app_id from hashes limit 1) and suppressed and external_id is not null
        and erased_name_hashes(app_id, external_id) && (select array_agg(hash) from hashes)
), list as (
    delete from suppression_list where id = $1
)
select array_agg(external_id) from (select * from gone union select * from again) as names;

-- name: names
-- A page of names.
select external_id, reason, created_at from suppression
where list_id = $1 and external_id collate "C" > $2 order by external_id collate "C" limit $3;

-- name: with_name
-- The lists that a name is on, and since when; of erased names a list has hashes.
select l.name, min(n.created_at) as since
from (
    select list_id, created_at from suppression where app_id = $1 and external_id = $2
    union all
    select h.list_id, h.created_at from suppressed_hash h
    where h.app_id = $1 and (select exists (select from suppressed_hash where app_id = $1))
        and h.hash = any (erased_name_hashes($1, $2))
) n join suppression_list l on l.id = n.list_id
group by l.name order by l.name;

-- name: add
-- Puts names on a list.
insert into suppression (list_id, app_id, external_id, reason, created_at)
select $1, $2, t.name, $4, $5 from unnest($3::text[]) as t (name)
on conflict (list_id, external_id) do nothing
returning external_id;

-- name: remove
-- Takes names off a list, those that were erased and came again too.
with gone as (
    delete from suppression where list_id = $1 and external_id = any($2::text[])
    returning external_id
), hashes as (
    delete from suppressed_hash h using unnest($2::text[]) as t (name)
    where h.list_id = $1 and (select exists (select from suppressed_hash where list_id = $1))
        and h.hash = any (erased_name_hashes(h.app_id, t.name))
    returning t.name
)
select external_id from gone union select name from hashes;

-- name: mark
-- What the lists say of people of these names; dispatch looks at devices, so they count as changed.
with judged as (
    select u.id, exists (
        select from suppression s where s.app_id = $1 and s.external_id = u.external_id
    ) or ((select exists (select from suppressed_hash where app_id = $1))
        and is_erased_name($1, u.external_id)) as suppressed
    from users u where u.app_id = $1 and u.external_id = any($2::text[])
    order by u.id for no key update of u
), changed as (
    update users u set suppressed = j.suppressed, updated_at = $3, xid = pg_current_xact_id()
    from judged j where u.id = j.id and u.suppressed <> j.suppressed
    returning u.id
)
update device set xid = pg_current_xact_id() where user_id in (select id from changed);

-- name: hashes_by_key
-- How many erased names are known by the present key, by one from before, and by none of ours; and of
-- how many nobody can say, because they were kept before keys were told apart. Twice on lists counts
-- twice.
select count(*) filter (where place is null and key_id is not null) as unknown,
    count(*) filter (where place > 1) as old,
    count(*) filter (where key_id is null) as untold
from (
    select key_id, array_position(ids, key_id) as place
    from suppressed_hash, (select names_key_ids() as ids) k
) h;
