"""Export and import: conversations from the database into a file, and from a file into the database.

Export (`exports`): `export_queries` reads in short batches, `export_json` writes the site's own format,
`export_markdown` writes Markdown and `zip_stream` packs it. Import: in `files`, `file_records` reads each file that
`archives` finds, `json_records` cuts JSON into records, `archived_details` takes out those that say something about
others, and `record_groups` joins those that are single messages; `formats.detect` selects the parser of a record (one
module of `formats` each, made of what `content` has for all of them), `message_ordering` sorts the messages, and
`import_store` stores them. A file is untrusted input: `coercion` takes only such values from it as the database and
the pages can hold.
"""
