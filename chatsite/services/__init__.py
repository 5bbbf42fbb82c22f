"""Rules of the site: plain arguments in, model objects out; no request and no HTML."""
