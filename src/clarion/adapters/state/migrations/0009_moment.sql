-- Caps, throttles, digests and decisions.

-- What was planned for whom and when: one row of columns a message and range of people. A cap
-- counts these, so what was planned a moment ago by another process counts too.
create table frequency_ledger (
    id          bigint generated always as identity primary key,
    app_id      int not null,
    range       smallint not null,               -- user bucket / 32; -1: of any, to be sorted in
    low         smallint not null,               -- low <= bucket < high of all its people
    high        smallint not null,
    message_id  uuid,                            -- null: of many messages that no cap can stop
    first_at    timestamptz not null,
    last_at     timestamptz not null,
    rows        bytea not null,                  -- clarion.adapters.state.frequency: columns
    created_at  timestamptz not null
);
create index frequency_ledger_by_range on frequency_ledger (app_id, range, last_at);
create index frequency_ledger_loose on frequency_ledger (created_at) where range = -1;
create index frequency_ledger_by_age on frequency_ledger (last_at);
create index frequency_ledger_by_message on frequency_ledger (message_id);
alter table frequency_ledger alter column rows set storage external;

-- Two plans for the same people at the same time: the second to commit finds another version than
-- it read, and decides again.
create table cap_range (
    app_id   int not null,
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
create index digest_item_of on digest_item (digest_id, range) where digest_id is not null;

alter table message
    add column category_id   int references category,
    add column policy        jsonb,
    add column parent_id     uuid;               -- a digest's items point to it by digest_item

-- `quiet`: the rules by which some of the people have quiet hours, and by which a batch that comes
-- late is judged again (clarion.domain.lateness). `content`: the message's variants, as JSON;
-- null where everybody gets the message as it was accepted.
alter table batch
    add column open_until timestamptz,           -- when the first of its people's quiet hours begin
    add column quiet      jsonb,
    add column content    bytea,
    -- of batches under a throttle: when they were due, wherever the throttle has moved them since
    add column due_at     timestamptz;
create index batch_throttled on batch (app_id, run_at) where due_at is not null;

-- Decisions (kind 3) name their policy, zones and windows once a chunk.
alter table chunk add column meta jsonb;
