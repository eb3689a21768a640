"""What drives an output."""
