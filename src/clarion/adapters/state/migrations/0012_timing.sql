-- Rates that hold on the wire, parts that come back, and what segments meant before.

-- Whose turn came last under a rate, and how many recipients it had: how long that takes is asked
-- with the rate of then, so a rate that is changed counts at once.
alter table app
    add column rate_at      timestamptz,
    add column rate_taken   int not null default 0,
    add column rates_spread_at timestamptz;     -- when all waiting batches were given their turns
alter table message
    add column rate_at      timestamptz,
    add column rate_taken   int not null default 0;

-- `turned`: it has been counted under the rates, whoever leases it again.
-- `displaces`: parts of other messages gave way to some of its people.
alter table batch
    add column turned    boolean not null default false,
    add column displaces boolean not null default false;
drop index batch_throttled;
create index batch_throttled on batch (app_id) where due_at is not null and state = 1;

-- Those of the people for whom the more important message has gone out: only they lose their part.
-- Until now everybody did.
alter table gave_way add column gone bytea not null default ''::bytea;
update gave_way set gone = people;
create index gave_way_by_winner on gave_way (winner);

-- Which digest took a person's part of a message.
create index digest_item_by_message on digest_item (message_id);

-- What every version of a segment said, those of removed ones too.
create table segment_version (
    app_id     int not null references app,
    name       text not null,
    version    int not null,
    expression jsonb not null,
    created_at timestamptz not null,
    primary key (app_id, name, version)
);
insert into segment_version (app_id, name, version, expression, created_at)
select app_id, name, version, expression, updated_at from segment;

create function segment_versions_are_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'versions of segments are append-only';
end $$;
create trigger segment_version_append_only before update or delete on segment_version
    for each row execute function segment_versions_are_append_only();
create trigger segment_version_not_emptied before truncate on segment_version
    for each statement execute function segment_versions_are_append_only();
