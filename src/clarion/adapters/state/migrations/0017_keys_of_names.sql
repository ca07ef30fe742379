-- With which key an erased name was kept: 8 octets that only a session with that key can make. Null:
-- kept before keys were told apart.
alter table suppressed_hash add column key_id bytea;

-- A session has the present key first, and after it, with commas between, those from before.
create function hash_of_erased_name(pads text, app int, name text) returns bytea
language sql immutable as $$
    select sha256(decode(substr(pads, 129), 'hex')
                  || sha256(decode(substr(pads, 1, 128), 'hex')
                            || convert_to(app || E'\x1f' || name, 'UTF8')))
$$;

create or replace function erased_name_hash(app int, name text) returns bytea
language sql stable as $$
    select hash_of_erased_name(split_part(current_setting('clarion.names_key'), ',', 1), app, name)
$$;

create function erased_name_hashes(app int, name text) returns bytea[] language sql stable as $$
    select array(
        select hash_of_erased_name(pads, app, name)
        from unnest(string_to_array(current_setting('clarion.names_key'), ',')) as pads
    )
$$;

-- No app has the number 0.
create function names_key_ids() returns bytea[] language sql stable as $$
    select array(
        select substr(hash, 1, 8)
        from unnest(erased_name_hashes(0, '')) with ordinality as h (hash, n) order by n
    )
$$;

create or replace function is_erased_name(app int, name text) returns boolean
language sql stable as $$
    select exists (
        select from suppressed_hash h
        where h.app_id = app and h.hash = any (erased_name_hashes(app, name))
    )
$$;

-- A step that a device tells again is known by its key, as a visitor's is.
alter table prompt_event
    drop constraint prompt_event_of_somebody,
    add constraint prompt_event_of_somebody check (device_id is not null or key is not null);
