"""Servers of unknown families: they are sent only what every server accepts."""

from chatsite.engine.remote.families.family import Family

UNKNOWN = Family("unknown")
