-- The consent ledger, and what it comes to. Whoever appends locks the people first (in order of
-- their ids) and the chain last, so that no two appenders wait for each other.

-- name: categories
-- The categories that an app has, archived ones included.
select id, slug, kind, slot, can_opt_out, default_state, caps_apply, quiet_applies, urgent,
    priority, quiet_hours, caps
from category where app_id = $1;

-- name: create_people
-- People who are not known yet; on a suppression list, they come suppressed.
insert into users (app_id, external_id, created_at, updated_at, suppressed)
select $1, t.name, $3, $3,
    exists (select from suppression s where s.app_id = $1 and s.external_id = t.name)
        or ((select exists (select from suppressed_hash where app_id = $1))
            and is_erased_name($1, t.name))
from unnest($2::text[]) as t (name)
order by t.name
on conflict (app_id, external_id) where external_id is not null do nothing;

-- name: named
-- Who is called so.
select id, external_id from users where app_id = $1 and external_id = any($2::text[]);

-- name: lock
-- Keeps others from changing these people until the unit of work ends; in one order for all.
select id, external_id from users where app_id = $1 and id = any($2::bigint[])
order by id for update;

-- name: standing
-- The last entry of each person and category.
select distinct on (user_id, category_id) user_id, coalesce(category_id, 0) as category, change,
    (extract(epoch from at) * 1000000)::bigint as at_us
from consent_ledger where app_id = $1 and user_id = any($2::bigint[])
order by user_id, category_id, number desc;

-- name: hold_chain
-- One appender at a time for each app; the head is read by the next statement, which sees what the
-- one before has written.
select pg_advisory_xact_lock(1668247155, $1);

-- name: head
-- The end of an app's chain.
select number, hash from consent_ledger where app_id = $1 order by number desc limit 1;

-- name: salts
-- Unpredictable octets, one value for each entry.
select uuid_send(gen_random_uuid()) as salt from generate_series(1, $1::int);

-- name: append
-- Entries in the order of their numbers.
insert into consent_ledger (app_id, number, user_id, category_id, change, how, at, recorded_at,
    text, language, text_version, personal, personal_hash, previous_hash, hash)
select $1, t.number, t.user_id, nullif(t.category, 0), t.change, t.how, t.at, $2, t.text,
    t.language, t.text_version, t.personal, t.personal_hash, t.previous_hash, t.hash
from unnest($3::bigint[], $4::bigint[], $5::int[], $6::smallint[], $7::smallint[],
    $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::bytea[],
    $14::bytea[], $15::bytea[])
    as t (number, user_id, category, change, how, at, text, language, text_version, personal,
        personal_hash, previous_hash, hash);

-- name: apply
-- The state that the entries come to; a no also ends digests. Dispatch looks at devices, so they
-- count as changed.
with changed as (
    update users u set
        granted = (u.granted & ~s.touched) | s.yes,
        denied = (u.denied & ~s.touched) | s.no,
        daily = u.daily & ~s.no,
        weekly = u.weekly & ~s.no,
        opted_out = coalesce(s.opted_out, u.opted_out),
        updated_at = $7,
        xid = pg_current_xact_id()
    from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[])
        as s (id, touched, yes, no, opted_out)
    where u.app_id = $1 and u.id = s.id
    returning u.id
)
update device set xid = pg_current_xact_id() where user_id in (select id from changed);

-- name: history
-- All entries of one person under whatever number, oldest first.
select l.number, c.slug, l.change, l.how, l.at, l.recorded_at, l.text, l.language, l.text_version,
    l.personal, l.hash
from consent_ledger l left join category c on c.id = l.category_id
where l.app_id = $1
    and l.user_id = any(array(select from_id from merged where app_id = $1 and to_id = $2) || $2)
order by l.number;

-- name: chain
-- A page of an app's chain.
select number, user_id, coalesce(category_id, 0) as category, change, how,
    (extract(epoch from at) * 1000000)::bigint as at_us, text, language, text_version, personal,
    personal_hash, previous_hash, hash
from consent_ledger where app_id = $1 and number > $2 order by number limit $3;

-- name: drifted
-- People whose bits are not what their last entries say.
with last as (
    select distinct on (l.user_id, l.category_id) l.user_id, l.change, c.slot
    from consent_ledger l left join category c on c.id = l.category_id
    where l.app_id = $1 and l.user_id is not null
    order by l.user_id, l.category_id, l.number desc
), said as (
    select user_id,
        coalesce(bit_or(1::bigint << slot) filter (where change = 1 and slot is not null), 0) as yes,
        coalesce(bit_or(1::bigint << slot) filter (where change = 2 and slot is not null), 0) as no,
        bool_or(change = 2) filter (where slot is null) as opted_out
    from last group by user_id
)
select u.id from users u left join said s on s.user_id = u.id
where u.app_id = $1 and (
    u.granted <> coalesce(s.yes, 0) or u.denied <> coalesce(s.no, 0)
    or u.opted_out is distinct from coalesce(s.opted_out, u.opted_out)
)
order by u.id limit $2;
