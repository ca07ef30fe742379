"""What is true: rules and values of push messaging, without I/O, clock or chance."""
