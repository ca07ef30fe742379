-- What a foreign key checks and locks row by row, registrations check and lock for all their rows
-- at once: at half the cost of an insert. Every inserted user and device even locked its app's row,
-- the same for all writers; the app of a row comes from the API key that was checked, and apps are
-- never deleted. The device's user is locked by whoever writes `user_id` (for key share) and by
-- whoever removes or merges the user (for update), before it looks for devices.
alter table users drop constraint users_app_id_fkey;
alter table device drop constraint device_app_id_fkey;
alter table device drop constraint device_user_id_fkey;
