"""Which points no other point beats, exactly."""
