-- Segments, lists, topics, and the inbox of custom events.

create table segment (
    id          int generated always as identity primary key,
    app_id      int not null references app,
    name        text not null,
    description text not null default '',
    expression  jsonb not null,
    version     int not null default 1,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    unique (app_id, name)
);

create table list (
    id          int generated always as identity primary key,
    app_id      int not null references app,
    name        text not null,
    description text not null default '',
    created_at  timestamptz not null,
    unique (app_id, name)
);
-- A person who left stays as a row, so that the change feed sees it; it is removed when the columns
-- have it.
create table list_member (
    list_id  int not null references list on delete cascade,
    user_id  bigint not null references users on delete cascade,
    member   boolean not null default true,
    xid      xid8 not null default pg_current_xact_id(),
    primary key (list_id, user_id)
);
create index list_member_by_user on list_member (user_id);
create index list_member_by_xid on list_member (xid);

create table topic_member (
    app_id   int not null references app,
    topic    text not null,
    user_id  bigint not null references users on delete cascade,
    member   boolean not null default true,
    xid      xid8 not null default pg_current_xact_id(),
    primary key (app_id, topic, user_id)
);
create index topic_member_by_user on topic_member (user_id);
create index topic_member_by_xid on topic_member (xid);

-- An app's events come once by their id. A day's partition is dropped when it is past the retention
-- and in the columns. `day` is that of the id where it says one (UUID version 7), else that of `at`.
create table event (
    day         date not null,
    event_id    uuid not null,
    app_id      int not null,
    user_id     bigint not null,
    name        text not null,
    at          timestamptz not null,
    message_id  uuid,
    device_id   bigint,
    value       double precision,
    properties  jsonb,
    xid         xid8 not null default pg_current_xact_id(),
    primary key (app_id, event_id, day)
) partition by range (day);
create index event_by_xid on event (xid);

-- Makes the partitions of these days. A table is made and then attached, because that waits neither
-- for readers nor for writers of the others.
create function event_days(days date[]) returns void language plpgsql as $$
declare
    wanted date;
    name text;
begin
    foreach wanted in array days loop
        name := 'event_' || to_char(wanted, 'YYYYMMDD');
        if to_regclass(name) is null then
            perform pg_advisory_xact_lock(hashtext('event_days'));
            if to_regclass(name) is null then
                execute format('create table %I (like event including defaults)', name);
                execute format('alter table event attach partition %I for values from (%L) to (%L)',
                               name, wanted, wanted + 1);
            end if;
        end if;
    end loop;
end $$;
