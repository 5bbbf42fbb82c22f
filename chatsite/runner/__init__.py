"""The process that owns the model: it joins the services and an engine, and nothing else does."""
