-- Lists and topics. Whoever leaves stays as a row, so that the columns hear of it.

-- name: put_list
-- A new list, or a new description of one.
insert into list (app_id, name, description, created_at) values ($1, $2, $3, $4)
on conflict (app_id, name) do update set description = excluded.description
returning id, name, description, created_at, xmax = 0 as created,
    (select count(*) from list_member m where m.list_id = list.id and m.member) as members;

-- name: page_lists
-- Lists of an app behind a name.
select id, name, description, created_at,
    (select count(*) from list_member m where m.list_id = list.id and m.member) as members
from list where app_id = $1 and name > $2 order by name limit $3;

-- name: get_list
-- The list of a name.
select id, name, description, created_at,
    (select count(*) from list_member m where m.list_id = list.id and m.member) as members
from list where app_id = $1 and name = $2;

-- name: delete_list
-- A list with its members' rows; nothing can name its number again.
delete from list where app_id = $1 and name = $2;

-- name: join_list
-- People who are on the list from now on. In one order for all, as writers wait for each other; a
-- person who was removed meanwhile is nobody.
insert into list_member (list_id, user_id)
select $1, u.id from users u where u.id = any($2::bigint[]) order by u.id
on conflict (list_id, user_id) do update set member = true, xid = pg_current_xact_id()
where not list_member.member;

-- name: leave_list
-- People who are on it no more.
with leaving as (
    select user_id from list_member
    where list_id = $1 and user_id = any($2::bigint[]) and member order by user_id for update
)
update list_member m set member = false, xid = pg_current_xact_id()
from leaving l where m.list_id = $1 and m.user_id = l.user_id;

-- name: join_topic
-- People who are subscribed from now on.
insert into topic_member (app_id, topic, user_id)
select $1, $2, u.id from users u where u.id = any($3::bigint[]) order by u.id
on conflict (app_id, topic, user_id) do update set member = true, xid = pg_current_xact_id()
where not topic_member.member;

-- name: leave_topic
-- People who are subscribed no more.
with leaving as (
    select user_id from topic_member
    where app_id = $1 and topic = $2 and user_id = any($3::bigint[]) and member
    order by user_id for update
)
update topic_member m set member = false, xid = pg_current_xact_id()
from leaving l where m.app_id = $1 and m.topic = $2 and m.user_id = l.user_id;

-- name: page_topics
-- Topics behind a name that somebody is subscribed to: one look at the index for each.
with recursive names as (
    (select topic from topic_member where app_id = $1 and topic > $2 and member
     order by topic limit 1)
    union all
    select (select m.topic from topic_member m where m.app_id = $1 and m.topic > n.topic and m.member
            order by m.topic limit 1)
    from names n where n.topic is not null
)
select n.topic as name, (select count(*) from topic_member m
                         where m.app_id = $1 and m.topic = n.topic and m.member) as members
from names n where n.topic is not null limit $3;

-- name: has_topic
-- Whether somebody is, or was, subscribed to a topic.
select exists (select from topic_member where app_id = $1 and topic = $2);

-- name: hold_topics
-- One new topic at a time for each app.
select pg_advisory_xact_lock(1953460339, $1);

-- name: count_topics
-- Whether an app has, or had, so many topics.
with recursive names as (
    (select topic from topic_member where app_id = $1 order by topic limit 1)
    union all
    select (select m.topic from topic_member m where m.app_id = $1 and m.topic > n.topic
            order by m.topic limit 1)
    from names n where n.topic is not null
)
select count(*) >= $2 from (
    select from names where topic is not null limit $2
) as counted;

-- name: full_person
-- Whether one of these people is, or was, on so many other topics.
select exists (
    select from unnest($3::bigint[]) as p (id)
    where (select count(*) from (
        select from topic_member m where m.app_id = $1 and m.user_id = p.id and m.topic <> $2
        limit $4
    ) as counted) >= $4
);

-- name: topics_of
-- What a person is subscribed to, behind a name.
select topic from topic_member where app_id = $1 and user_id = $2 and member and topic > $3
order by topic limit $4;
