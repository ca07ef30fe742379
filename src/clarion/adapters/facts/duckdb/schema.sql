-- No primary keys: their indexes would be written anew at every checkpoint. What makes a row
-- unique is the watermark that moves in the same transaction.

-- Where a feed stands: a PostgreSQL snapshot, or the schema's version.
create table if not exists watermark (name varchar, value varchar);

-- Pages are sorted by bucket, so that the scan of a range of buckets reads a part of each.
create table if not exists users (
    id          bigint,
    app         integer,
    bucket      usmallint,
    external_id varchar,
    opted_out   boolean,
    language    varchar,
    time_zone   varchar,
    country     varchar,
    attributes  variant,
    created_at  timestamptz,
    -- bit = slot of a category: said yes to, said no to, wants daily, wants weekly
    granted         ubigint default 0,
    denied          ubigint default 0,
    daily           ubigint default 0,
    weekly          ubigint default 0,
    paused_until_us bigint default 0,
    quiet_hours     varchar,
    suppressed      boolean default false
);

create table if not exists device (
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
    attributes     variant,
    permission     utinyint default 0,
    -- sort as the versions are meant; null where the text is no version
    app_version_key varchar,
    os_version_key  varchar
);

-- One attempt, or the decision not to send. outcome 0: it was tried again.
-- A message's UUID is two numbers, so that columns stay numbers all the way from the senders.
create table if not exists outcome (
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
create table if not exists note (id ubigint, words varchar);

create table if not exists provider_id (
    message_high ubigint, message_low ubigint, device bigint, attempt utinyint, id varchar
);

-- What was decided about each device that was considered, with all that was read for it:
-- clarion.domain.decision_row. `meta` names the row that has the policy, zones and windows.
create table if not exists decision (
    app             integer,
    message_high    ubigint,
    message_low     ubigint,
    user_id         bigint,
    device          bigint,
    decided_us      bigint,
    send_us         bigint,
    open_until_us   bigint,
    paused_until_us bigint,
    permitted_us    bigint,
    flags           uinteger,
    counters        uinteger,   -- four octets, the first cap's the lowest
    zone            usmallint,
    quiet           usmallint,
    variant         usmallint,
    language        usmallint,
    reason          usmallint,
    zone_source     utinyint,
    action          utinyint,
    network         utinyint,
    meta            ubigint
);

create table if not exists decision_meta (id ubigint, meta varchar);

-- What people did in the app that sends. Rows come sorted by app and name where they come in bulk.
create table if not exists event (
    app        integer,
    bucket     usmallint,
    user_id    bigint,
    name       varchar,
    at_us      bigint,
    properties variant,
    value      double
);

-- What people did with messages. kind: clarion.domain.segments.expression.Signal.
create table if not exists engagement (
    app          integer,
    user_id      bigint,
    message_high ubigint,
    message_low  ubigint,
    category     varchar,    -- the slug that the message was sent under
    kind         utinyint,
    at_us        bigint
);

create table if not exists list_member (app integer, list_id bigint, user_id bigint);

create table if not exists topic_member (app integer, topic varchar, user_id bigint);

-- clarion.domain.segments.versions.version_key, the same key for the same text.
create or replace macro version_key(version) as
    case when regexp_matches(version, '^[vV]?([0-9]{1,10}(?:\.[0-9]{1,10}){0,3})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:[+ ].*)?$')
    then array_to_string(list_resize(list_transform(
             string_split(regexp_extract(version, '^[vV]?([0-9]+(?:\.[0-9]+)*)', 1), '.'),
             lambda part: lpad(part, 10, '0')), 4, '0000000000'), '.')
         || case regexp_extract(version, '^[vV]?[0-9.]+-([0-9A-Za-z.-]+)', 1) when '' then '~'
            else '-' || array_to_string(list_transform(
                string_split(regexp_extract(version, '^[vV]?[0-9.]+-([0-9A-Za-z.-]+)', 1), '.'),
                lambda part: case when not regexp_full_match(part, '[0-9]+') then '1' || part
                                  when length(part) < 20 then '0' || lpad(part, 20, '0')
                                  else '0' || part end), ' ')
            end
    end;
