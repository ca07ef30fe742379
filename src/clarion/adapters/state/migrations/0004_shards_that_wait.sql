-- A shard of named recipients never waits behind one for everybody, which may wait for the facts;
-- and a shard that waits says why. An older planner's shards count as not named: whoever claims
-- them looks at the target.
alter table shard
    add column named boolean not null default false,
    add column trouble text;
update shard set named = true where low = 0 and high = 1024;
create index shard_ready_by_kind on shard (named, lane, run_at, message_id, low) where state = 1;
drop index shard_ready;
create index shard_held on shard (message_id) where state = 3;
-- Faults are counted by each process for itself, over its last answers.
alter table credential
    drop column fault_since,
    drop column fault_sent,
    drop column fault_count;
