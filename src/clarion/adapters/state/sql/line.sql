-- The queue between the stages. Every statement is one transaction unless its caller opens one.
-- uuids travel as text and xid8 as bigint, so that no codec of the connection matters.

-- name: expand_due
-- Messages whose time has come become shards: hand-off 1 to 2 in one statement. Lane by lane, so
-- that the index is read up to now only: what is scheduled for later is never looked at. A message
-- to everybody is cut so that no shard has many more than $6 users: the greatest id says how many
-- there are at most, the statistics how many of them are the app's. A wide shard has whole ranges of
-- $7 buckets, which are what the ledger of caps is kept by: no two shards write to one of them.
with due as (
    select m.*
    from unnest($5::smallint[]) as l (lane), lateral (
        select id, app_id, lane, coalesce((target ->> 'everybody')::boolean, false)
               or coalesce(jsonb_typeof(target -> 'segment') = 'object', false) as everybody
        from message
        where state = 1 and lane = l.lane and send_at <= $1
        order by send_at, id
        limit $2
        for update skip locked
    ) m
), sized as (
    select due.*, case when due.everybody then
        coalesce((select max(id) from users), 0) * coalesce((
            select s.most_common_freqs[
                array_position(s.most_common_vals::text::int[], due.app_id)]
            from pg_stats s
            where s.schemaname = current_schema() and s.tablename = 'users'
              and s.attname = 'app_id'
        ), 1) else 0 end as people
    from due
), cut as (
    select sized.*, case when not everybody then $4::int
        when most >= $7::int then most - most % $7::int else most end as step
    from sized, lateral (
        select greatest(1, least($3::int, floor($4::int * $6::float8 / greatest(people, 1))))::int
    ) as m (most)
), made as (
    insert into shard (message_id, low, high, app_id, lane, run_at, named)
    select id, g.low, least(g.low + step, $4::int), app_id, lane, $1, not everybody
    from cut, lateral generate_series(0, $4::int - 1, step) as g (low)
    returning message_id
), counted as (
    select message_id, count(*)::int as n from made group by message_id
)
update message m
set state = 2, started_at = $1, open_shards = counted.n, xid = pg_current_xact_id()
from counted where m.id = counted.message_id

-- name: claim_shard
-- Lease the most urgent shard of a kind; whoever had it before is fenced off.
with pick as (
    select message_id, low from shard
    where state = 1 and named = $4 and run_at <= $2
    order by lane, run_at, message_id, low
    limit 1
    for update skip locked
)
update shard s
set state = 2, owner = $1, leased_until = $3, fence = s.fence + 1,
    claims = least(s.claims + 1, 30000)
from pick, message m
where s.message_id = pick.message_id and s.low = pick.low and m.id = s.message_id
returning s.message_id::text as message_id, s.low, s.high, s.app_id, s.lane, s.fence, s.claims,
          m.target::text as target, m.xid::text::bigint as xid, m.envelope,
          m.policy::text as policy, m.started_at, m.recipients > 0 as begun

-- name: message_state
-- Locked, so that a pause or a withdrawal comes before or after.
select state from message where id = $1::text::uuid for update

-- name: begun
-- Whether somebody was planned for. The message is locked.
select recipients > 0 from message where id = $1::text::uuid

-- name: postpone_shard
-- Back to the queue with the reason, or held ($5): its message is paused, or nobody can read it.
update shard set state = case when $5 then 3 else 1 end, owner = null, leased_until = null,
                 run_at = $4, trouble = $6
where message_id = $1::text::uuid and low = $2 and fence = $3 and state = 2

-- name: renew_shard
-- Whoever still plans it keeps it.
update shard set leased_until = $4
where message_id = $1::text::uuid and low = $2 and fence = $3 and state = 2
returning 1

-- name: readmit_shards
-- A shard that is held though its message is being sent could not be read: another try.
update shard s set state = 1, trouble = null
from message m
where s.state = 3 and m.id = s.message_id and m.state = 2

-- name: finish_shard
-- The fence decides: whoever lost the lease finds no row. Nobody needs a shard that is planned.
delete from shard
where message_id = $1::text::uuid and low = $2 and fence = $3 and state in (2, 3)
returning 1

-- name: count_plan
-- The message knows how much is open; when nothing is, it has ended.
update message
set open_shards = open_shards - 1,
    open_batches = open_batches + $2,
    recipients = recipients + $3,
    state = case when open_shards = 1 and open_batches + $2 = 0
                 then case state when 4 then 6 else 5 end else state end,
    finished_at = case when open_shards = 1 and open_batches + $2 = 0
                       then $4::timestamptz else finished_at end,
    xid = pg_current_xact_id()
where id = $1::text::uuid
returning state

-- name: insert_chunk
-- Outcomes that were decided without sending.
insert into chunk (key, app_id, kind, message_ids, rows, notes, provider_ids, created_at)
values ($1, $2, $3, $4::text[]::uuid[], $5, $6, $7::text::jsonb, $8)

-- name: insert_decided
-- What was decided, with the names that its rows point to.
insert into chunk (key, app_id, kind, message_ids, rows, meta, created_at)
values ($1, $2, 3, $3::text[]::uuid[], $4, $5::text::jsonb, $6)

-- name: credentials_of_app
-- Which networks an app can send over, quarantined ones included.
select network, id from credential where app_id = $1

-- name: claim_batch
-- Lease the most urgent batch whose credential is in order. Or ($6) one that a quarantine holds
-- though its messages were withdrawn or are past their end: it is not sent, only recorded.
with pick as (
    select b.id from batch b
    join credential c on c.id = b.credential_id and c.state = case when $6::boolean then 2 else 1 end
    where b.state = 1 and b.lane = any ($2::smallint[]) and b.run_at <= $3
      and b.credential_id <> all ($5::int[])
      and (not $6 or not exists (select from message m
                                 where m.id = any (b.message_ids) and m.state <> 4
                                   and (m.expires_at is null or m.expires_at > $3)))
    order by b.lane, b.run_at, b.id
    limit 1
    for update of b skip locked
)
update batch b
set state = 2, owner = $1, leased_until = $4, fence = b.fence + 1, claims = b.claims + 1,
    first_attempt_at = coalesce(b.first_attempt_at, $3)
from pick where b.id = pick.id
returning b.id, b.app_id, b.lane, b.network, b.credential_id, b.message_ids::text[] as message_ids,
          b.cursor, b.size, b.attempt, b.first_attempt_at, b.fence, b.claims, b.planned_xid,
          b.recipients, b.content, b.spent_s, b.quiet::text as quiet, b.open_until,
          b.due_at is not null and not b.turned as needs_turn,
          b.displaces,
          exists (select from gave_way g where g.message_id = any (b.message_ids)) as gives_way,
          array(select m.envelope from unnest(b.message_ids) with ordinality as o (id, n)
                join message m on m.id = o.id order by o.n) as envelopes,
          array(select m.id::text from message m
                where m.id = any (b.message_ids) and m.state in (4, 6)) as canceled,
          cardinality(b.message_ids) = 1
              and exists (select from message m
                          where m.id = b.message_ids[1] and m.state = 3) as paused

-- name: commit_chunk
-- Outcomes, cursor, lease and the message's counters change together or not at all.
with moved as (
    update batch
    set cursor = $3, claims = 0,
        leased_until = case when $5 or leased_until < $4::timestamptz - interval '1 minute'
                            then $4 else leased_until end,
        state = case when $5 then 4 else state end,
        owner = case when $5 then null else owner end,
        recipients = case when $5 then ''::bytea else recipients end
    where id = $1 and fence = $2 and state in (2, 3) and cursor < $3
    returning id
), recorded as (
    insert into chunk (key, app_id, kind, message_ids, rows, notes, provider_ids, created_at)
    select $6, $7, 1, $8::text[]::uuid[], $9, $10, $11::text::jsonb, $12 from moved
), changed as (
    update message m
    set open_batches = m.open_batches + d.delta,
        state = case when m.open_shards = 0 and m.open_batches + d.delta = 0
                     then case m.state when 4 then 6 else 5 end else m.state end,
        finished_at = case when m.open_shards = 0 and m.open_batches + d.delta = 0
                           then $12 else m.finished_at end,
        xid = pg_current_xact_id()
    from unnest($13::text[]::uuid[], $14::int[]) as d (id, delta), moved
    where m.id = d.id
)
select exists (select from moved)
       -- the answer to the same commit was lost on its way: it is recorded already
       or exists (select from batch where id = $1 and fence = $2 and cursor = $3) as recorded,
       now.canceled, now.paused
from (select coalesce(array_agg(id::text) filter (where state = 4), '{}') as canceled,
             coalesce(bool_or(state = 3), false) as paused
      from message where id = any ($8::text[]::uuid[])) now

-- name: commit_and_look
-- The same of a chunk after which another follows, and which leaves the number of open batches as it
-- is: most are such, and what they do not need would cost a third of the statement. The lease moves
-- only once a minute of it is spent: it is indexed, and a row whose indexed columns stay as they are
-- is rewritten in its page without a new entry in any index. $12 asks for a look at the registry
-- (see `changes`) in the same round trip; it is one array of ids, users and reasons.
with moved as (
    update batch
    set cursor = $3, claims = 0,
        leased_until = case when leased_until < $4::timestamptz - interval '1 minute'
                            then $4 else leased_until end
    where id = $1 and fence = $2 and state in (2, 3) and cursor < $3
    returning id
), recorded as (
    insert into chunk (key, app_id, kind, message_ids, rows, notes, provider_ids, created_at)
    select $5, $6, 1, $7::text[]::uuid[], $8, $9, $10::text::jsonb, $11 from moved
), looked as (
    select d.id, d.user_id,
           case when u.opted_out then 101 when u.suppressed then 113 when d.state <> 1 then 103
                when d.opted_out then 102 when d.permission in (2, 5) then 114 else 0 end as reason,
           u.granted, u.denied,
           coalesce((extract(epoch from u.paused_until) * 1000000)::bigint, 0) as paused_until_us
    from (select id, user_id, state, opted_out, permission from device
          where xid >= $12::text::xid8 order by xid limit $13) d
    join users u on u.id = d.user_id
    union all
    select id, 0, 108, 0, 0, 0
    from (select id, kind from removal where xid >= $12::text::xid8 order by xid limit $13) r
    where kind = 2
    union all
    select from_id, to_id, -1, 0, 0, 0
    from (select from_id, to_id from merged
          where xid >= $12::text::xid8 order by xid limit $13) m
)
select exists (select from moved)
       or exists (select from batch where id = $1 and fence = $2 and cursor = $3) as recorded,
       now.canceled, now.paused,
       case when $12 is not null then pg_snapshot_xmin(pg_current_snapshot())::text::bigint end
           as xid,
       (select array[array_agg(id), array_agg(user_id), array_agg(reason::bigint),
                     array_agg(granted), array_agg(denied), array_agg(paused_until_us)] from looked)
           as changes
from (select coalesce(array_agg(id::text) filter (where state = 4), '{}') as canceled,
             coalesce(bool_or(state = 3), false) as paused
      from message where id = any ($7::text[]::uuid[])) now

-- name: insert_retry
-- Recipients that are tried again are a batch of their own, under the throttle of theirs ($17).
insert into batch (key, app_id, lane, network, credential_id, message_ids, run_at, size, attempt,
                   first_attempt_at, planned_xid, recipients, content, spent_s, quiet,
                   open_until, due_at, displaces)
values ($1, $2, $3, $4, $5, $6::text[]::uuid[], $7, $8, $9, $10, $11, $12, $13, $14,
        $15::text::jsonb, $16,
        (select $7::timestamptz from batch p where p.id = $17 and p.due_at is not null),
        exists (select from batch p where p.id = $17 and p.displaces))
on conflict (key) do nothing

-- name: bury
-- Tombstones for tokens that their network declared dead, unless they were registered again since.
update device d
set state = 2, state_reason = b.reason, updated_at = $4, xid = pg_current_xact_id()
from unnest($1::bigint[], $2::smallint[], $3::bigint[]) as b (id, reason, registered_us)
where d.id = b.id and d.state = 1
  and d.registered_at <= to_timestamp(b.registered_us / 1e6) + interval '1 millisecond'

-- name: learn_environment
-- Apple tells by its answer which of its worlds a token belongs to.
update device d set environment = e.environment, updated_at = $3, xid = pg_current_xact_id()
from unnest($1::bigint[], $2::smallint[]) as e (id, environment)
where d.id = e.id

-- name: replace_token
-- A token that another device row holds already makes this row the tombstone; of several rows of
-- one chunk that are to get the same token, the oldest gets it.
update device d
set token = case when n.free then n.token else d.token end,
    token_key = case when n.free then n.token_key else d.token_key end,
    state = case when n.free then d.state else 2 end,
    state_reason = case when n.free then d.state_reason else 204 end,
    updated_at = $4, xid = pg_current_xact_id()
from (
    select g.id, g.token, g.token_key,
           row_number() over (partition by me.app_id, me.network, g.token_key order by g.id) = 1
           and not exists (
               select from device o
               where o.app_id = me.app_id and o.network = me.network
                 and o.token_key = g.token_key and o.id <> g.id
           ) as free
    from unnest($1::bigint[], $2::text[], $3::bytea[]) as g (id, token, token_key)
    join device me on me.id = g.id
) n
where d.id = n.id

-- name: quarantine
-- Nothing is claimed for a credential in quarantine. One that was replaced since is not at fault.
update credential set state = 2, state_reason = $2, state_at = $3
where id = $1 and state = 1 and ($4::int is null or version = $4)

-- name: release_batch
-- Back to the queue; a paused message's work is held instead. Work of several messages at once is
-- urgent and never held: a pause must not hold back the others. The message is locked, for a resume
-- that came between our look and our write would never find what is held after it.
update batch b
set state = case when cardinality(b.message_ids) = 1
                      and exists (select from message m
                                  where m.id = b.message_ids[1] and m.state = 3
                                  for share) then 3 else 1 end,
    owner = null, leased_until = null, run_at = $3,
    claims = case when $4 then b.claims else greatest(0, b.claims - 1) end
where id = $1 and fence = $2 and state = 2

-- name: split_batch
-- The halves take over from a poison batch.
update batch
set state = 4, owner = null, recipients = ''::bytea
where id = $1 and fence = $2 and state = 2
returning turned

-- name: turned_halves
-- What was counted under its rates as a whole is not counted again in halves.
update batch set turned = true where key = any ($1::text[])

-- name: count_split
-- Two batches stand where one stood.
update message set open_batches = open_batches + 1, xid = pg_current_xact_id()
where id = any ($1::text[]::uuid[])

-- name: pace
-- A token bucket all senders share. The level may go below zero: that is the wait. Clocks that
-- differ a little never fill it twice; one that was far ahead does not stop it until then.
update credential
set pace_level = least(
        coalesce(per_minute, $4)::float8 / 60.0,
        pace_level + greatest(0, extract(epoch from $3 - coalesce(pace_at, $3)))
                     * coalesce(per_minute, $4)::float8 / 60.0
    ) - $2,
    pace_at = case when pace_at <= $3::timestamptz + interval '1 minute'
                   then greatest($3, pace_at) else $3 end
where id = $1 and coalesce(per_minute, $4) is not null
returning greatest(0, -pace_level / (coalesce(per_minute, $4)::float8 / 60.0)) as wait_s

-- name: changes
-- Opt-outs, deaths and moves since a version, of any app: device ids are enough to tell them apart.
-- With the reason -1 come people who turned out to be somebody else: who, and who they are.
-- Ordered by xid inside, so that the plan is a look at the end of one small index whatever the
-- statistics say. One row more than allowed means: too many. The version comes from the same
-- snapshot as the rows, in a row of its own when there are none.
select h.xid, c.id, c.user_id, c.reason, c.granted, c.denied, c.paused_until_us
from (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid) h
left join lateral (
    select d.id, d.user_id,
           case when u.opted_out then 101 when u.suppressed then 113 when d.state <> 1 then 103
                when d.opted_out then 102 when d.permission in (2, 5) then 114 else 0 end as reason,
           u.granted, u.denied,
           coalesce((extract(epoch from u.paused_until) * 1000000)::bigint, 0) as paused_until_us
    from (select id, user_id, state, opted_out, permission from device
          where xid >= $1::text::xid8 order by xid limit $2) d
    join users u on u.id = d.user_id
    union all
    select id, 0, 108, 0, 0, 0
    from (select id, kind from removal where xid >= $1::text::xid8 order by xid limit $2) r
    where kind = 2
    union all
    select from_id, to_id, -1, 0, 0, 0
    from (select from_id, to_id from merged
          where xid >= $1::text::xid8 order by xid limit $2) m
) c on true

-- name: changes_among
-- The same, of some devices only.
select h.xid, c.id, c.user_id, c.reason, c.granted, c.denied, c.paused_until_us
from (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid) h
left join lateral (
    select d.id, d.user_id,
           case when u.opted_out then 101 when u.suppressed then 113 when d.state <> 1 then 103
                when d.opted_out then 102 when d.permission in (2, 5) then 114 else 0 end as reason,
           u.granted, u.denied,
           coalesce((extract(epoch from u.paused_until) * 1000000)::bigint, 0) as paused_until_us
    from device d join users u on u.id = d.user_id
    where d.id = any ($1::bigint[]) and d.xid >= $2::text::xid8
    union all
    select id, 0, 108, 0, 0, 0 from removal
    where kind = 2 and id = any ($1::bigint[]) and xid >= $2::text::xid8
    union all
    select m.from_id, m.to_id, -1, 0, 0, 0 from merged m
    where m.to_id in (select user_id from device where id = any ($1::bigint[]))
        and m.xid >= $2::text::xid8
) c on true

-- name: abandon_batches
-- Work of a process that is known to be dead; `owner/1` is a worker slot of `owner`.
update batch set state = 1, owner = null, leased_until = null
where state = 2 and (owner = $1 or starts_with(owner, $1 || '/'))

-- name: abandon_shards
-- The same for shards.
update shard set state = 1, owner = null, leased_until = null
where state = 2 and (owner = $1 or starts_with(owner, $1 || '/'))

-- name: sweep_batches
-- Work whose lease has run out: its process hangs, or its machine is gone.
update batch set state = 1, owner = null, leased_until = null
where state = 2 and leased_until < $1

-- name: sweep_shards
-- The same for shards.
update shard set state = 1, owner = null, leased_until = null
where state = 2 and leased_until < $1

-- name: drop_old_work
-- Finished batches are of no more use; their outcomes are in the chunks.
delete from batch where id in (
    select id from batch where state = 4 and leased_until < $1 limit $2
)

-- name: backlog
-- What could be leased now, per lane: the first sign of senders that do not keep up.
select lane, count(*)::int as ready, extract(epoch from $1 - min(run_at))::float8 as oldest_s
from batch where state = 1 and run_at <= $1 group by lane

-- name: quarantined
-- Credentials that wait for an operator, per network.
select network, count(*)::int as n from credential where state = 2 group by network
