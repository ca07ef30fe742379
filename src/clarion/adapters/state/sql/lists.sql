-- Lists and topics. Whoever leaves stays as a row, so that the columns hear of it.

-- name: put_list
-- A new list, or a new description of one.
insert into list (app_id, name, description, created_at) values ($1, $2, $3, $4)
on conflict (app_id, name) do update set description = excluded.description
returning id, name, description, created_at, xmax = 0 as created,
    (select count(*) from list_member m where m.list_id = list.id and m.member) as members;

-- name: all_lists
-- Every list of an app.
select id, name, description, created_at,
    (select count(*) from list_member m where m.list_id = list.id and m.member) as members
from list where app_id = $1 order by name;

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

-- name: all_topics
-- Topics that somebody is subscribed to.
select topic as name, count(*) as members from topic_member
where app_id = $1 and member group by topic order by topic;

-- name: topics_of
-- What a person is subscribed to.
select topic from topic_member where app_id = $1 and user_id = $2 and member order by topic;
