"""What networks and devices tell about messages that were sent."""
