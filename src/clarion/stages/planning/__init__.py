"""From a message to batches: who is meant, who may be sent to, and over which credential."""
