-- Receipts of our own messages become facts. A message of the platform names its own id as the
-- receipt subscription that hears of it.

-- How far receipts were read.
create table push_receipt_read (
    one  boolean primary key default true check (one),
    xid  xid8 not null default '0',
    id   bigint not null default 0
);
insert into push_receipt_read default values;
create index push_receipt_by_xid on push_receipt (xid, id);

-- Subscriptions that ended while receipts of theirs may not have been read.
create table push_ended (
    id         bigint primary key,
    device_id  bigint not null,
    channel    uuid not null,
    key_hash   bytea,
    at         timestamptz not null
);
create index push_ended_at on push_ended using brin (at);
