"""The rules: plain arguments in, model objects out; no request and no HTML."""
