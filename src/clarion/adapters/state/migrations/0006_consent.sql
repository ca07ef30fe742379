-- Categories, consent, preferences and permission. Small sets over an app's categories are bits of
-- one number: bit n stands for the category with slot n, so that millions of people are judged by
-- one pass over numeric columns.

create table category (
    id             int generated always as identity primary key,
    app_id         int not null references app,
    slug           text not null,
    name           text not null,
    description    text not null default '',
    kind           smallint not null,            -- clarion.domain.category.Kind
    slot           smallint not null check (slot between 0 and 62),
    can_opt_out    boolean not null,
    default_state  smallint not null,            -- clarion.domain.category.Default
    caps_apply     boolean not null,
    quiet_applies  boolean not null,
    urgent         boolean not null default false,
    priority       smallint not null default 5,
    quiet_hours    jsonb,
    caps           jsonb,
    digest         jsonb,
    names          jsonb not null default '{}',  -- language -> [name, description], for people
    created_at     timestamptz not null,
    archived_at    timestamptz,
    unique (app_id, slug),
    unique (app_id, slot)
);

alter table app
    add column default_category    text not null default 'transactional',
    add column quiet_hours         jsonb,
    add column caps                jsonb,
    add column throttle_per_minute int,
    add column unknown_zone        smallint not null default 1,
    add column signing_key         bytea,        -- sealed: signs links of preferences and clicks
    add column policy_version      int not null default 1;

-- Every app is born with these three, however it is made.
create function app_is_born_with_categories() returns trigger language plpgsql as $$
begin
    insert into category (app_id, slug, name, kind, slot, can_opt_out, default_state, caps_apply,
                          quiet_applies, urgent, priority, created_at)
    values
        (new.id, 'calls', 'Calls', 1, 0, false, 1, false, false, true, 10, new.created_at),
        (new.id, 'transactional', 'Transactional', 2, 1, false, 1, false, false, false, 7,
         new.created_at),
        (new.id, 'marketing', 'Marketing', 3, 2, true, 2, true, true, false, 3, new.created_at);
    return new;
end $$;
create trigger app_categories after insert on app
    for each row execute function app_is_born_with_categories();

insert into category (app_id, slug, name, kind, slot, can_opt_out, default_state, caps_apply,
                      quiet_applies, urgent, priority, created_at)
select a.id, c.slug, c.name, c.kind, c.slot, c.can_opt_out, c.default_state, c.caps_apply,
       c.quiet_applies, c.urgent, c.priority, a.created_at
from app a, (values
    ('calls', 'Calls', 1, 0, false, 1, false, false, true, 10),
    ('transactional', 'Transactional', 2, 1, false, 1, false, false, false, 7),
    ('marketing', 'Marketing', 3, 2, true, 2, true, true, false, 3)
) as c (slug, name, kind, slot, can_opt_out, default_state, caps_apply, quiet_applies, urgent,
        priority);

alter table users
    add column granted      bigint not null default 0,
    add column denied       bigint not null default 0,
    add column daily        bigint not null default 0,   -- wants these once a day
    add column weekly       bigint not null default 0,   -- wants these once a week
    add column paused_until timestamptz,
    add column quiet_hours  text,                        -- the person's own windows, compact JSON
    add column suppressed   boolean not null default false;

alter table device
    add column permission    smallint not null default 0,  -- clarion.domain.permission.Permission
    add column permission_at timestamptz,
    add column prompt        smallint not null default 0;  -- place in permission.PromptState

-- How far asking for the system's permission came, step by step.
create table prompt_event (
    id         bigint generated always as identity primary key,
    app_id     int not null references app,
    device_id  bigint not null references device on delete cascade,
    what       text not null,                -- clarion.domain.permission.PromptInput
    state      text not null,                -- clarion.domain.permission.PromptState: what it led to
    at         timestamptz not null
);
create index prompt_event_by_app on prompt_event (app_id, at);
create index prompt_event_by_device on prompt_event (device_id, id);

-- One chain of hashes an app. What is personal is hashed on its own, so that an erasure may remove
-- it and the chain still verifies.
create table consent_ledger (
    app_id         int not null references app,
    number         bigint not null,              -- 1, 2, 3, … within the app
    user_id        bigint,                       -- null once erased
    category_id    int references category,      -- null: everything (the global switch)
    change         smallint not null,            -- clarion.domain.consent.Change
    how            smallint not null,            -- clarion.domain.consent.How
    at             timestamptz not null,
    recorded_at    timestamptz not null,
    text           text not null,                -- the words that the person was shown
    language       text not null,
    text_version   text not null,
    personal       jsonb,                        -- external, evidence, salt; null once erased
    personal_hash  bytea not null,
    previous_hash  bytea not null,
    hash           bytea not null,
    primary key (app_id, number)
);
create index consent_ledger_by_user on consent_ledger (user_id, number);

create function consent_ledger_is_append_only() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.personal is null and new.user_id is null
       and to_jsonb(new) - '{personal,user_id}'::text[]
           = to_jsonb(old) - '{personal,user_id}'::text[] then
        return new;  -- an erasure
    end if;
    raise exception 'the consent ledger is append-only';
end $$;
create trigger consent_ledger_append_only before update or delete on consent_ledger
    for each row execute function consent_ledger_is_append_only();
create trigger consent_ledger_not_emptied before truncate on consent_ledger
    for each statement execute function consent_ledger_is_append_only();

create table suppression_list (
    id          int generated always as identity primary key,
    app_id      int not null references app,
    name        text not null,
    description text not null default '',
    created_at  timestamptz not null,
    unique (app_id, name)
);
-- A name may be suppressed before the person is known.
create table suppression (
    list_id     int not null references suppression_list on delete cascade,
    app_id      int not null,
    external_id text not null,
    reason      text not null default '',
    created_at  timestamptz not null,
    primary key (list_id, external_id)
);
create index suppression_by_name on suppression (app_id, external_id);

-- What an erasure removed, as counts and hashes, never as data. The user's number goes with the
-- last copy of the data: the proof keeps a salted hash of it.
create table erasure (
    id           bigint generated always as identity primary key,
    app_id       int not null references app,
    user_id      bigint,
    requested_at timestamptz not null,
    done_at      timestamptz,
    proof        jsonb not null
);
create index erasure_open on erasure (id) where done_at is null;
