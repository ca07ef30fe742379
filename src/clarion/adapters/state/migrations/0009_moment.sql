-- Caps, throttles, digests and decisions.

-- What was planned for whom and when: one row of columns a message and range of people. A cap
-- counts these, so what was planned a moment ago by another process counts too.
create table frequency_ledger (
    id          bigint generated always as identity primary key,
    app_id      int not null references app,
    range       smallint not null,               -- user bucket / 32
    message_id  uuid not null,
    first_at    timestamptz not null,
    last_at     timestamptz not null,
    rows        bytea not null,                  -- clarion.domain.frequency.LEDGER_ROW
    created_at  timestamptz not null
);
create index frequency_ledger_by_range on frequency_ledger (app_id, range, last_at);
create index frequency_ledger_by_message on frequency_ledger (message_id);
alter table frequency_ledger alter column rows set storage external;

-- Two plans for the same people at the same time: the second to commit finds another version than
-- it read, and decides again.
create table cap_range (
    app_id   int not null references app,
    range    smallint not null,
    version  bigint not null default 0,
    primary key (app_id, range)
);

-- People whose held part of a message gave way to a more important one.
create table gave_way (
    id          bigint generated always as identity primary key,
    message_id  uuid not null,
    range       smallint not null,
    people      bytea not null,                  -- bigint, little endian
    winner      uuid not null,
    created_at  timestamptz not null
);
create index gave_way_by_message on gave_way (message_id);

-- What waits for a person's digest.
create table digest_item (
    id          bigint generated always as identity primary key,
    app_id      int not null references app,
    category_id int not null references category,
    message_id  uuid not null,
    range       smallint not null,
    due_at      timestamptz not null,            -- when the window of these people closes
    people      bytea not null,                  -- bigint, little endian
    created_at  timestamptz not null,
    digest_id   uuid                             -- the message that took it
);
create index digest_item_due on digest_item (due_at) where digest_id is null;

alter table message
    add column category_id   int references category,
    add column policy        jsonb,
    add column throttle_at   timestamptz,
    add column parent_id     uuid;               -- a digest's items point to it by digest_item

alter table app add column throttle_at timestamptz;

alter table batch
    add column open_until timestamptz;           -- past it the people's quiet hours begin
