-- Messages that wait for people's digests.

-- name: gather
-- People whose part waits.
insert into digest_item (app_id, category_id, message_id, range, due_at, people, created_at)
select $1, (select category_id from message where id = $2::text::uuid), $2::text::uuid, t.range,
       to_timestamp(t.due_us / 1e6), t.people, $3
from unnest($4::smallint[], $5::bigint[], $6::bytea[]) as t (range, due_us, people)

-- name: due
-- Windows that have closed: one of an app, a category and an instant.
select i.app_id, i.category_id, i.due_at, c.slug, c.name
from digest_item i join category c on c.id = i.category_id
where i.digest_id is null and i.due_at <= $1
group by i.app_id, i.category_id, i.due_at, c.slug, c.name
order by i.due_at
limit $2

-- name: take
-- The items are the digest's from now on; another planner finds none.
update digest_item set digest_id = $4::text::uuid
where app_id = $1 and category_id = $2 and due_at = $3 and digest_id is null

-- name: items
-- What a digest has for some ranges of people.
select i.people, i.due_at, i.created_at, m.envelope, i.id
from digest_item i join message m on m.id = i.message_id
where i.digest_id = $1::text::uuid and i.range = any ($2::smallint[])
  and m.state not in (4, 6)  -- withdrawn since
order by i.id

-- name: parts_of
-- Whose part of a message waits, and the digest that took it.
select people, due_at, digest_id::text as digest_id from digest_item
where message_id = $1::text::uuid and range = $2

-- name: parts_in
-- Whose parts of which messages a digest has, in the order of the messages.
select i.people, i.message_id::text as message_id
from digest_item i join message m on m.id = i.message_id
where i.digest_id = $1::text::uuid and i.range = $2 and m.state not in (4, 6)
order by i.message_id

-- name: drop_sent
-- Parts whose digest was sent so long ago that its message is deleted.
delete from digest_item where id in (
    select i.id from digest_item i
    where i.digest_id is not null and i.due_at < $1
      and not exists (select from message m where m.id = i.digest_id)
    order by i.id limit $2
)
