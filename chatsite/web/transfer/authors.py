"""Who wrote an answer, as files and paper name it."""

from __future__ import annotations

from flask_babel import gettext

from chatsite.services.models import catalog
from chatsite.services.transfer.exports.export_rows import MessageRow
from chatsite.web.core.identity import catalog_config


class AuthorTitles:
    """The titles of all models, read once for a file: its messages are sent while no database connection is held."""

    def __init__(self) -> None:
        self._titles = {card.name: card.entry.title for card in catalog.list_cards(catalog_config())}

    def find(self, message: MessageRow, product: str | None) -> str:
        """Return the title of the model that wrote an answer, or else the product that it was imported from.

        A model that the catalog does not know is named as it was stored. Empty if nothing is known.
        """
        return self._titles.get(message.model, message.model) if message.model else product or ""


def answer_heading(author: str) -> str:
    """Return the heading of an answer."""
    return str(gettext("Answer by %(model)s", model=author) if author else gettext("Answer"))
