"""Common parts of all pages: identity, security, assets, templating, errors."""
