-- Our own push service: devices, subscriptions, messages that wait, receipts.

-- A process that holds connections. Its number is part of the ids that it gives.
create table push_node (
    id       smallint primary key,
    owner    text,                               -- null: free
    seen_at  timestamptz not null                -- ids of this number are not younger
);

-- Made with a device's first subscription. `node` says where it was connected last; a node that is
-- gone does no harm, since nobody listens then.
create table push_device (
    id          bigint generated always as identity primary key,
    name        uuid not null unique,            -- the UAID, or the name inside a device token
    node        smallint,
    seen_at     timestamptz not null,
    created_at  timestamptz not null
) with (fillfactor = 80);
create index push_device_seen on push_device using brin (created_at);

create table push_subscription (
    id          bigint generated always as identity primary key,
    device_id   bigint not null references push_device on delete cascade,
    channel     uuid not null,
    key_hash    bytea,                           -- SHA-256 of the VAPID key it is restricted to
    created_at  timestamptz not null,
    unique (device_id, channel)
);

-- No foreign keys: a message whose subscription ended while it was written is never read, and ends
-- with its time.
create table push_message (
    device_id        bigint not null,
    id               bigint not null,
    subscription_id  bigint not null,
    topic            text,
    urgency          smallint not null,
    expires_at       timestamptz not null,
    receipt          uuid,                       -- the receipt subscription that hears of it
    coding           smallint not null,
    encryption       text,
    crypto_key       text,
    body             bytea not null,
    primary key (device_id, id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
-- Ciphertext doesn't compress, and a body fits in a page: neither is tried.
alter table push_message alter column body set storage plain;
-- Also answers how many wait for a subscription.
create unique index push_message_topic on push_message (subscription_id, topic);
create index push_message_expiry on push_message (expires_at);

create table push_receipt (
    id               bigint generated always as identity primary key,
    xid              xid8 not null default pg_current_xact_id(),  -- the order of reading
    reader           uuid not null,              -- the receipt subscription
    message_id       bigint not null,
    subscription_id  bigint not null,
    status           smallint not null,          -- 204 or 410
    at               timestamptz not null
);
create index push_receipt_by_reader on push_receipt (reader, xid, id);
create index push_receipt_at on push_receipt using brin (at);
