-- Finished batches are removed some time later, a few thousand at a time: without this index each
-- look for them reads the whole table, every five seconds.
create index batch_done on batch (leased_until) where state = 4;
