-- How much of the retry policy's patience a batch has spent: its attempts, and the waits after them
-- that the network caused. What waits for an operator (a pause, a quarantine, senders that are down)
-- spends nothing. Batches from before begin anew; their attempts are counted as ever.
alter table batch add column spent_s real not null default 0;
