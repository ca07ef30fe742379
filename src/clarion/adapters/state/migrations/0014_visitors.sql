-- Steps of people who were asked for the permission and have no device, because they said no: each
-- has a key of its own, made in the browser, and nothing that ties it to another.
alter table prompt_event
    alter column device_id drop not null,
    add column key     uuid,
    add column version text not null default '',  -- of the words that the person was shown
    add constraint prompt_event_of_somebody check ((device_id is null) = (key is not null));
create unique index prompt_event_by_key on prompt_event (app_id, key) where key is not null;
create index prompt_event_of_visitors on prompt_event (app_id, at) where device_id is null;
