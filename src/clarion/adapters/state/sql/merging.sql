-- An anonymous person turns out to be somebody: what planning holds of them goes along. The octets of
-- their number find the candidates.

-- name: caps
-- Entries of one range that caps count, of messages since the anonymous person is there.
select id, message_id::text as message_id, rows from frequency_ledger
where app_id = $1 and range = $2 and position($3::bytea in rows) > 0 and last_at >= $4
order by id for update

-- name: digests
-- Parts that wait for a digest.
select id, people from digest_item
where app_id = $1 and range = $2 and position($3::bytea in people) > 0
order by id for update

-- name: set_digests
-- The part without that number; the known person has one of their own, unless they are in it. The
-- octets of a number may also stand across two others.
with set as (
    update digest_item set people = $2 where id = $1
    returning app_id, category_id, message_id, due_at, created_at, digest_id
)
insert into digest_item (app_id, category_id, message_id, range, due_at, people, created_at,
                         digest_id)
select app_id, category_id, message_id, $3, due_at, $4, created_at, digest_id from set
where not exists (
    select from digest_item i
    where i.message_id = set.message_id and i.range = $3 and position($4::bytea in i.people) > 0
      and exists (
          select from generate_series(1, octet_length(i.people), 8) as n
          where substr(i.people, n, 8) = $4
      )
)

-- name: gave_way
-- Held parts that gave way.
select g.id, g.people, g.gone from gave_way g join message m on m.id = g.message_id
where m.app_id = $1 and g.range = $2 and position($3::bytea in g.people) > 0
order by g.id for update of g

-- name: add_gave_way
-- The same for the known person.
insert into gave_way (message_id, range, people, gone, winner, created_at)
select message_id, $2, $3, $4, winner, created_at from gave_way where id = $1

-- name: overtake
-- Whoever plans for the known person at this moment counts anew.
update cap_range set version = version + 1 where app_id = $1 and range = $2
