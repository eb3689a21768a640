"""Which choices no other one beats."""
