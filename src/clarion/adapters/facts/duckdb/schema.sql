-- No primary keys: their indexes would be written anew at every checkpoint. What makes a row
-- unique is the watermark that moves in the same transaction.

-- Where a feed stands: a PostgreSQL snapshot, or the schema's version.
create table watermark (name varchar, value varchar);

-- Pages are sorted by bucket, so that the scan of a range of buckets reads a part of each.
create table users (
    id          bigint,
    app         integer,
    bucket      usmallint,
    external_id varchar,
    opted_out   boolean,
    language    varchar,
    time_zone   varchar,
    country     varchar,
    attributes  variant,
    created_at  timestamptz
);

create table device (
    id             bigint,
    app            integer,
    bucket         usmallint,
    user_id        bigint,
    network        utinyint,
    environment    utinyint,
    dead           boolean,
    opted_out      boolean,
    token          varchar,
    keys           blob,
    registered_us  bigint,
    last_active_at timestamptz,
    platform       varchar,
    os             varchar,
    os_version     varchar,
    model          varchar,
    app_version    varchar,
    language       varchar,
    time_zone      varchar,
    country        varchar,
    latitude       double,
    longitude      double,
    attributes     variant
);

-- One attempt, or the decision not to send. outcome 0: it was tried again.
-- A message's UUID is two numbers, so that columns stay numbers all the way from the senders.
create table outcome (
    app          integer,
    message_high ubigint,
    message_low  ubigint,
    device       bigint,
    user_id      bigint,
    at_us        bigint,
    reason       usmallint,
    status       usmallint,
    outcome      utinyint,
    network      utinyint,
    attempt      utinyint,
    verdict      utinyint,
    note         ubigint
);

-- The networks' own words; id = chunk's id * 65536 + place in the chunk.
create table note (id ubigint, words varchar);

create table provider_id (
    message_high ubigint, message_low ubigint, device bigint, attempt utinyint, id varchar
);
