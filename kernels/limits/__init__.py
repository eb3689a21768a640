"""What stops growth: plateaus of efficiency, power, chips, networks, failures and data, and which of them binds."""
