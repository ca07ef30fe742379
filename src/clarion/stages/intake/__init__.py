"""What comes in: registrations of devices and people, one or millions."""
