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

-- The same of many at once: recipients of one chunk whose rows differ by device and user alone,
-- which are offsets from the smallest. Most outcomes are here: two columns instead of thirteen.
create table if not exists outcome_run (
    app          integer,
    message_high ubigint,
    message_low  ubigint,
    at_us        bigint,
    reason       usmallint,
    status       usmallint,
    outcome      utinyint,
    network      utinyint,
    attempt      utinyint,
    verdict      utinyint,
    note         ubigint,
    size         uinteger,
    first_device bigint,
    first_user   bigint,
    last_user    bigint,
    devices      uinteger[],
    users        uinteger[]
);

-- Every outcome as a row. Who asks for one person says so of first_user and last_user too: the
-- other runs are not opened then.
create or replace view outcome_row as
select app, message_high, message_low, device, user_id, at_us, reason, status, outcome, network,
       attempt, verdict, note, user_id as first_user, user_id as last_user
from outcome
union all
select app, message_high, message_low, first_device + unnest(devices) as device,
       first_user + unnest(users) as user_id, at_us, reason, status, outcome, network, attempt,
       verdict, note, first_user, last_user
from outcome_run;

-- The networks' own words; id = chunk's id * 65536 + place in the chunk.
create table if not exists note (id ubigint, words varchar);

create table if not exists provider_id (
    message_high ubigint, message_low ubigint, device bigint, attempt utinyint, id varchar
);

-- What was decided about each device that was considered, with all that was read for it: packed
-- rows of clarion.domain.decision_row, as planning wrote them. `meta` has the policy, zones and
-- windows that they point to. The ends, included, say whom they may be about.
create table if not exists decision_chunk (
    id           ubigint,
    app          integer,
    first_bucket usmallint,
    last_bucket  usmallint,
    first_user   bigint,
    last_user    bigint,
    meta         varchar,
    rows         blob,
    at_us        bigint      -- when it was recorded; null in rows from before that was noted
);

-- The rows of a chunk that are about one message.
create table if not exists decision_run (
    chunk        ubigint,
    app          integer,
    message_high ubigint,
    message_low  ubigint,
    start        uinteger,
    size         uinteger
);

-- How many devices each message was decided about in which way: reports read this alone. It stays
-- when a person is erased. hour: since the epoch, in which what is held is due; else -1.
create table if not exists decision_count (
    app          integer,
    message_high ubigint,
    message_low  ubigint,
    action       utinyint,
    reason       usmallint,
    network      utinyint,
    hour         integer,
    size         uinteger
);

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

-- What people did with messages, and what became of these. kind: clarion.domain.event.ENGAGEMENTS.
create table if not exists engagement (
    app          integer,
    user_id      bigint,
    message_high ubigint,
    message_low  ubigint,
    category     varchar,    -- the slug that the message was sent under
    kind         utinyint,
    at_us        bigint,
    device       bigint      -- null where the person was named in another way
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
