"""From batches to recorded outcomes: lease, send in chunks, record, try again later."""
