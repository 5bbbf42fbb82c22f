"""Text in, text out: models, prompts and inference. Knows no user, no database and no Flask."""
