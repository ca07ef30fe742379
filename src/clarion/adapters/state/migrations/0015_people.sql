-- One person under several numbers; names that were erased and stay suppressed.

-- An anonymous person's number that stands for somebody else since they logged in. What was
-- recorded under it is told, moved and erased with that person. A row goes with its person.
create table merged (
    from_id    bigint primary key,
    to_id      bigint not null,
    app_id     int not null,
    merged_at  timestamptz not null,
    xid        xid8 not null default pg_current_xact_id()
);
create index merged_by_target on merged (to_id);
create index merged_by_xid on merged (xid);

-- The numbers that the facts have still to be cleared of.
alter table erasure add column numbers bigint[] not null default '{}';
update erasure set numbers = array[user_id] where user_id is not null;
alter table erasure drop column user_id;

-- A name that was erased while it was on a list: HMAC-SHA256 of the app's id, U+001F and the name,
-- under a key that is made of the master key and never enters the database.
create table suppressed_hash (
    list_id     int not null references suppression_list on delete cascade,
    app_id      int not null,
    hash        bytea not null,
    created_at  timestamptz not null,
    primary key (list_id, hash)
);
create index suppressed_hash_by_hash on suppressed_hash (app_id, hash);
