-- Names that were erased while they were on a suppression list. The key is a setting of our own
-- sessions: two blocks of 64 octets in hexadecimal, the key of HMAC-SHA256 (RFC 2104 section 2) with
-- its inner and its outer pad. A session without it fails here, rather than find nobody.

create function erased_name_hash(app int, name text) returns bytea language sql stable as $$
    select sha256(decode(substr(pads, 129), 'hex')
                  || sha256(decode(substr(pads, 1, 128), 'hex')
                            || convert_to(app || E'\x1f' || name, 'UTF8')))
    from current_setting('clarion.names_key') as pads
$$;

create function is_erased_name(app int, name text) returns boolean language sql stable as $$
    select exists (
        select from suppressed_hash h where h.app_id = app and h.hash = erased_name_hash(app, name)
    )
$$;
