"""The equations as models: parameters, units, domains, outputs; and what is uncertain in them."""
