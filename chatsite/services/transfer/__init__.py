"""Export and import: conversations on their way out of the database into a file, and out of a file into the database.

Out: `reading` reads in short batches, `own` writes the site's own JSON, `markdown` writes Markdown.
In: `archives` finds the JSON in a file, `splitting` cuts it into records, `formats` knows whose they are and has
`own`, `chatgpt`, `claude` or `openwebui` understand them, `trees` puts their messages in order, `storing` stores them.
Everything in a file is data of a stranger: `values` takes of it what the database and the pages can bear.
"""
