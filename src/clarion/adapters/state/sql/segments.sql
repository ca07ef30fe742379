-- The named segments of an app. Whoever changes one holds the app's row, because circles are seen
-- over all of them.

-- name: stamp
-- Differs whenever a segment or a list of the app was made, changed or removed.
select coalesce((select md5(string_agg(id || ':' || version, ',' order by id))
                 from segment where app_id = $1), '')
    || coalesce((select md5(string_agg(id || ':' || name, ',' order by id))
                 from list where app_id = $1), '');

-- name: all
-- Every segment of an app, or the one of a name.
select name, description, expression, version, created_at, updated_at
from segment where app_id = $1 and ($2::text is null or name = $2) order by name collate "C";

-- name: lists
-- The id of each list of an app.
select id, name from list where app_id = $1;

-- name: hold_app
-- Nobody else changes a segment of the app meanwhile.
select 1 from app where id = $1 for no key update;

-- name: insert
-- Makes a segment. The name may have been another's: its versions go on from there.
insert into segment (app_id, name, description, expression, created_at, updated_at, version)
values ($1, $2, $3, $4, $5, $5,
        coalesce((select max(version) from segment_version where app_id = $1 and name = $2), 0)
        + 1);

-- name: update
-- Replaces what is said of a segment.
update segment set description = $3, expression = $4, version = version + 1, updated_at = $5
where app_id = $1 and name = $2;

-- name: keep_version
-- What it says from now on, for as long as decisions may name it.
insert into segment_version (app_id, name, version, expression, created_at)
select app_id, name, version, expression, updated_at from segment where app_id = $1 and name = $2;

-- name: versions
-- Everything that was ever said under a name, the newest first.
select version, expression, created_at from segment_version
where app_id = $1 and name = $2 order by version desc;

-- name: remove
-- Removes a segment.
delete from segment where app_id = $1 and name = $2;

-- name: waiting
-- The segments that messages of an app mean which are yet to be planned, in whole or in part.
select id, target->'segment' as expression from message
where app_id = $1 and state in (1, 2, 3) and (started_at is null or open_shards > 0)
    and jsonb_typeof(target->'segment') = 'object';
