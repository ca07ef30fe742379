-- What a key that expires was made for, which its successor gets: rotating a key moves its end.
alter table api_key add column lifetime interval;
update api_key set lifetime = expires_at - created_at where revoked_at is null;

-- What is planned for people of a range is looked at when they turn out to be somebody known.
create index digest_item_of_range on digest_item (app_id, range);
create index gave_way_of_range on gave_way (range, created_at);
