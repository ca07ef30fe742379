-- Every inserted user and device locked its app's row, the same for all of them: two thirds of the
-- time of a bulk insert, and one contended row for all writers. The app of a row comes from the API
-- key that was checked, and apps are never deleted. The reference of a device to its user stays:
-- it is what makes a registration and the deletion of its user meet.
alter table users drop constraint users_app_id_fkey;
alter table device drop constraint device_app_id_fkey;
