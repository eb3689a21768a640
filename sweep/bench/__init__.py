"""How close each kernel comes to what the device can do."""
