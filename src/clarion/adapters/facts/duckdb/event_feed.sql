-- name: events
-- A page of events that were not seen, with the category of the message that they are about: so many
-- rows, but never half a transaction. The column is named by its table in `order by`, as an index
-- holds it. A double holds microseconds exactly for centuries, and costs far less than a numeric.
select e.app_id as app, e.user_id, e.name,
       (date_part('epoch', e.at) * 1000000)::bigint as at_us, e.value, e.properties,
       e.message_id as message, c.slug as category, e.device_id as device, e.xid
from (
    select * from event
    where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
    order by event.xid fetch first $3 rows with ties
) as e
left join message m on m.id = e.message_id
left join category c on c.id = m.category_id

-- name: old_days
-- Partitions of days before $1, and tables of such days that a dropping left half way: 0 attached,
-- 1 about to be let go, 2 let go.
select c.relname as name,
       case when not c.relispartition then 2 when i.inhdetachpending then 1 else 0 end as stage
from pg_class c left join pg_inherits i on i.inhrelid = c.oid
where c.relkind = 'r' and c.relname ~ '^event_[0-9]{8}$' and pg_table_is_visible(c.oid)
      and c.relname < 'event_' || to_char($1::date, 'YYYYMMDD')
order by c.relname
