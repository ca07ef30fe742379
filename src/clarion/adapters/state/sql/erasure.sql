-- Forgetting a person for good. The person is locked first; what a copy may still hold goes by the
-- marks in `removal`.

-- name: person
-- What is held of a person beside what other statements tell.
select u.external_id,
    (select coalesce(jsonb_agg(l.name order by l.name), '[]') from list_member m
        join list l on l.id = m.list_id where m.user_id = u.id and m.member) as lists,
    (select coalesce(jsonb_agg(t.topic order by t.topic), '[]') from topic_member t
        where t.user_id = u.id and t.member) as topics,
    (select coalesce(jsonb_agg(jsonb_build_object('list', l.name, 'reason', s.reason, 'at',
            s.created_at) order by l.name), '[]') from suppression s
        join suppression_list l on l.id = s.list_id
        where s.app_id = u.app_id and s.external_id = u.external_id) as suppressions,
    case when (select exists (select from suppressed_hash where app_id = $1)) then (
        select coalesce(jsonb_agg(jsonb_build_object('list', name, 'since', since) order by name),
            '[]')
        from (
            select l.name, min(h.created_at) as since
            from suppressed_hash h join suppression_list l on l.id = h.list_id
            where h.app_id = u.app_id
                and h.hash = any (erased_name_hashes(u.app_id, u.external_id))
            group by l.name
        ) as before
    ) else '[]' end as erased_before,
    (select coalesce(jsonb_agg(jsonb_build_object('device', p.device_id, 'what', p.what, 'state',
            p.state, 'at', p.at) order by p.id), '[]') from prompt_event p
        join device d on d.id = p.device_id where d.user_id = u.id) as prompts,
    u.paused_until, u.suppressed
from users u where u.app_id = $1 and u.id = $2;

-- name: ledger
-- Takes what is personal out of the person's entries; the chain still verifies.
update consent_ledger set personal = null, user_id = null
where app_id = $1 and user_id = any($2::bigint[]);

-- name: events
-- The person's events that wait for the columns, or are kept beside them.
delete from event where app_id = $1 and user_id = any($2::bigint[]);

-- name: suppressions
-- On every list that has the name, its hash takes its place: who comes again stays suppressed. The
-- same hash from before keys were told apart was made with the same key.
with gone as (
    delete from suppression where app_id = $1 and external_id = $2 returning list_id, external_id
)
insert into suppressed_hash (list_id, app_id, hash, key_id, created_at)
select list_id, $1, erased_name_hash($1, external_id), (names_key_ids())[1], $3 from gone
on conflict (list_id, hash) do update set key_id = excluded.key_id;

-- name: hashes_kept
-- Lists that know an erased name by its hash.
select case when exists (select from suppressed_hash where app_id = $1) then (
    select count(distinct list_id) from suppressed_hash
    where app_id = $1 and hash = any (erased_name_hashes($1, $2))
) else 0 end;

-- name: aliases
-- The person's other names.
delete from user_alias where app_id = $1 and user_id = $2;

-- name: lists
-- Memberships in lists.
delete from list_member where user_id = $1;

-- name: topics
-- Subscriptions to topics.
delete from topic_member where user_id = $1;

-- name: prompts
-- How the person was asked for the system's permission.
delete from prompt_event where device_id in (select id from device where user_id = $1);

-- name: count_devices
-- How many devices go with the person.
select count(*) from device where app_id = $1 and user_id = $2;

-- name: insert
-- Notes an erasure whose facts are still there.
insert into erasure (app_id, numbers, requested_at, proof)
values ($1, $2, $3, $4) returning id, pg_current_xact_id()::text::bigint as xid;

-- name: unfinished
-- Erasures from before an instant whose facts are still there.
select id, app_id, numbers from erasure where done_at is null and requested_at < $2
order by id limit $1;

-- name: now_xid
-- Everything that was committed before this is below it, or is seen with it.
select pg_current_xact_id()::text::bigint;

-- name: lock
-- One erasure, kept from others until the unit of work ends.
select id, app_id, numbers, requested_at, done_at, proof from erasure where id = $1 for update;

-- name: finish
-- The proof is complete, and the person's numbers forgotten.
update erasure set proof = $2, done_at = $3, numbers = '{}' where id = $1;

-- name: get
-- One erasure.
select id, app_id, numbers, requested_at, done_at, proof from erasure where app_id = $1 and id = $2;
