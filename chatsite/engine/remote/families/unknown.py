"""A server that nobody knows: only what all of them take."""

from chatsite.engine.remote.families.family import Family

UNKNOWN = Family("unknown")
