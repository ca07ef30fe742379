"""Every log event and metric name, and how both leave the process."""
