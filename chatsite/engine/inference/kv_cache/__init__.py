"""Where the keys and values of running sequences lie."""
