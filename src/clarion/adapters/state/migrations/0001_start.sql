-- The state schema. Numbers in smallint columns are the enums of clarion.domain.
-- Instants come from the caller (`now` is an argument everywhere), never from the server's clock.
-- `xid` marks the transaction that last changed a row: a reader that has seen everything below
-- pg_snapshot_xmin(pg_current_snapshot()) has seen every committed change below it.

create table app (
    id          int generated always as identity primary key,
    name        text not null unique,
    time_zone   text not null default 'UTC',
    language    text not null default 'en',
    created_at  timestamptz not null
);

create table api_key (
    id           text primary key,
    app_id       int not null references app,
    scope        text not null check (scope in ('admin', 'send', 'device')),
    name         text not null,
    secret_hash  bytea not null,
    created_at   timestamptz not null,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
create index api_key_by_app on api_key (app_id);

create table credential (
    id            int generated always as identity primary key,
    app_id        int not null references app,
    network       smallint not null,
    version       int not null default 1,
    public        jsonb not null,
    secret        bytea not null,            -- sealed with the master key
    state         smallint not null default 1,   -- 1 active, 2 quarantined
    state_reason  text,
    state_at      timestamptz not null,
    expires_at    timestamptz,               -- certificates
    per_minute    int,                       -- pacing; null = the network's default
    pace_level    double precision not null default 0,
    pace_at       timestamptz,
    fault_since   timestamptz,
    fault_sent    bigint not null default 0,
    fault_count   bigint not null default 0,
    created_at    timestamptz not null,
    unique (app_id, network)
);

create table shared_token (
    name       text primary key,
    value      bytea not null,               -- sealed with the master key
    minted_at  timestamptz not null
);

create table users (
    id           bigint generated always as identity primary key,
    app_id       int not null references app,
    external_id  text,                       -- null: anonymous
    attributes   jsonb not null default '{}',
    language     text,
    time_zone    text,
    country      text,
    opted_out    boolean not null default false,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    xid          xid8 not null default pg_current_xact_id()
);
create unique index users_by_external_id on users (app_id, external_id) where external_id is not null;
create index users_by_xid on users (xid);

create table user_alias (
    app_id   int not null,
    label    text not null,
    value    text not null,
    user_id  bigint not null references users on delete cascade,
    primary key (app_id, label, value)
);
create index user_alias_by_user on user_alias (user_id);

create table device (
    id             bigint generated always as identity primary key,
    app_id         int not null references app,
    user_id        bigint not null references users,
    network        smallint not null,
    token          text not null,            -- APNs hex, FCM token or FID, Web Push endpoint
    token_key      bytea not null,           -- first 16 octets of SHA-256 of the token
    keys           bytea,                    -- Web Push: public key (65) and auth secret (16)
    environment    smallint not null default 0,
    state          smallint not null default 1,   -- 1 active, 2 dead (a tombstone)
    state_reason   smallint not null default 0,
    opted_out      boolean not null default false,
    platform       text,
    os             text,
    os_version     text,
    model          text,
    app_version    text,
    language       text,
    time_zone      text,
    country        text,
    latitude       double precision,
    longitude      double precision,
    attributes     jsonb not null default '{}',
    last_active_at timestamptz,
    registered_at  timestamptz not null,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    xid            xid8 not null default pg_current_xact_id(),
    unique (app_id, network, token_key)
);
create index device_by_user on device (user_id);
create index device_by_xid on device (xid);

-- What was removed for good, so that the columnar copy forgets it too.
create table removal (
    kind    smallint not null,               -- 1 user, 2 device
    id      bigint not null,
    app_id  int not null,
    xid     xid8 not null default pg_current_xact_id()
);
create index removal_by_xid on removal (xid);

create table message (
    id            uuid primary key,
    app_id        int not null references app,
    lane          smallint not null,
    state         smallint not null,         -- clarion.domain.campaign.MessageState
    request       jsonb not null,            -- as accepted, shown when it is read back
    envelope      bytea not null,            -- clarion.domain.content.Message as JSON
    target        jsonb not null,            -- clarion.ports.messages.Target as JSON
    send_at       timestamptz not null,
    expires_at    timestamptz,
    key_id        text not null,
    created_at    timestamptz not null,
    started_at    timestamptz,
    finished_at   timestamptz,
    canceled_at   timestamptz,
    paused_at     timestamptz,
    recipients    bigint not null default 0, -- rows planned so far, suppressed ones included
    open_shards   int not null default 0,
    open_batches  int not null default 0,
    xid           xid8 not null default pg_current_xact_id()
);
create index message_due on message (lane, send_at, id) where state = 1;
create index message_by_app on message (app_id, created_at desc, id);

create table shard (
    message_id    uuid not null references message,
    low           int not null,
    high          int not null,
    app_id        int not null,
    lane          smallint not null,
    state         smallint not null default 1,   -- 1 ready, 2 leased, 3 held, 4 done (BatchState)
    run_at        timestamptz not null,
    owner         text,
    leased_until  timestamptz,
    fence         int not null default 0,
    claims        smallint not null default 0,
    primary key (message_id, low)
);
create index shard_ready on shard (lane, run_at, message_id, low) where state = 1;
create index shard_leased on shard (leased_until) where state = 2;

create table batch (
    id                bigint generated always as identity primary key,
    key               text not null unique,  -- deterministic: a handler that runs again inserts nothing twice
    app_id            int not null,
    lane              smallint not null,
    network           smallint not null,
    credential_id     int not null references credential,
    message_ids       uuid[] not null,
    state             smallint not null default 1,   -- 1 ready, 2 leased, 3 held, 4 done
    run_at            timestamptz not null,
    owner             text,
    leased_until      timestamptz,
    fence             int not null default 0,
    claims            smallint not null default 0,   -- leases since the last recorded progress
    size              int not null,
    cursor            int not null default 0,
    attempt           smallint not null default 0,
    first_attempt_at  timestamptz,
    planned_xid       bigint not null,
    recipients        bytea not null         -- Arrow columns
) with (fillfactor = 70);
alter table batch alter column recipients set storage external;
create index batch_ready on batch (lane, run_at, id) where state = 1;
create index batch_leased on batch (leased_until) where state = 2;
create index batch_of_message on batch ((message_ids[1])) where state <> 4;

create table chunk (
    id            bigint generated always as identity primary key,
    key           text not null unique,
    app_id        int not null,
    kind          smallint not null,
    message_ids   uuid[] not null,
    rows          bytea not null,            -- clarion.domain.handoffs.OUTCOME_ROW, little endian
    notes         text[] not null default '{}',
    provider_ids  jsonb,
    created_at    timestamptz not null,
    xid           xid8 not null default pg_current_xact_id()
);
alter table chunk alter column rows set storage external;
create index chunk_by_xid on chunk (xid);

create table idempotency (
    app_id      int not null,
    key         text not null,
    body_hash   bytea not null,
    status      smallint not null,
    answer      bytea not null,
    created_at  timestamptz not null,
    primary key (app_id, key)
);
create index idempotency_by_age on idempotency (created_at);
