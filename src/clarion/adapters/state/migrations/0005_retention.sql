-- What is over is found by its age without reading the rest. The one instant that comes from the
-- server's clock is a removal's: it is compared in days, and only after the feed has passed it.
create index message_ended on message (finished_at) where state in (5, 6);
alter table removal add column removed_at timestamptz not null default now();
