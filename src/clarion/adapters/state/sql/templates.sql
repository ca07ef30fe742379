-- Templates, their versions, and partials.

-- name: get
-- One version of a template, the newest where none is named.
select t.id, t.name, v.version, t.version as newest, v.content, v.note, v.created_at, t.archived_at
from template t
join template_version v on v.template_id = t.id and v.version = coalesce($3::int, t.version)
where t.app_id = $1 and t.name = $2;

-- name: page
-- Templates by id.
select id, name, version as newest, created_at, updated_at, archived_at from template
where app_id = $1 and id > $2 and (archived_at is not null) = $4 order by id limit $3;

-- name: versions
-- The versions of a template, newest first.
select v.version, v.note, v.created_at from template_version v join template t on t.id = v.template_id
where t.app_id = $1 and t.name = $2 order by v.version desc;

-- name: hold
-- Makes the template where there is none, and holds it: whoever saves too waits here.
insert into template (app_id, name, version, created_at, updated_at) values ($1, $2, 0, $3, $3)
on conflict (app_id, name) do update set name = excluded.name
returning id, version;

-- name: count
-- How many templates an app has.
select count(*)::int from template where app_id = $1;

-- name: same
-- Whether a version says exactly this.
select content = $3 from template_version where template_id = $1 and version = $2;

-- name: add_version
-- The next version; a template that was archived is in use again.
with added as (
    insert into template_version (template_id, version, content, note, created_at)
    values ($1, $2, $3, $4, $5) returning template_id
)
update template set version = $2, updated_at = $5, archived_at = null
from added where id = added.template_id;

-- name: archive
-- Takes a template out of use, or back.
update template set archived_at = $3 where app_id = $1 and name = $2;

-- name: partial_texts
-- Some partials.
select name, source from partial where app_id = $1 and name = any ($2::text[]);

-- name: all_partials
-- Every partial of an app.
select name, source, updated_at from partial where app_id = $1 order by name;

-- name: put_partial
-- Makes a partial or replaces its text, unless the app has too many.
insert into partial (app_id, name, source, updated_at)
select $1, $2, $3, $4
where (select count(*) from partial where app_id = $1 and name <> $2) < $5
on conflict (app_id, name) do update set source = excluded.source, updated_at = excluded.updated_at
returning name, source, updated_at;

-- name: delete_partial
-- Forgets a partial.
delete from partial where app_id = $1 and name = $2;

-- name: users_of
-- Templates whose newest version has a name in one of its texts.
select t.name from template t join template_version v on v.template_id = t.id and v.version = t.version
where t.app_id = $1 and t.archived_at is null and position($2 in v.content::text) > 0
order by t.name limit 100;
