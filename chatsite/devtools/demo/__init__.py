"""The command `chatsite demo`: fill an empty instance with conversations, and with answers in every state."""

from __future__ import annotations

from chatsite import create_app
from chatsite.cli.language import localize
from chatsite.cli.migrations import migrate_database
from chatsite.errors import gettext_noop


def create_demo(site: str, with_states: bool) -> str:
    """Fill the instance. Return the text to print, with an address at `site` that opens the demo in a browser.

    With `with_states` there is also a conversation for every state of an answer, which stays so while no runner works
    on this instance. Raises InstanceNotEmptyError.
    """
    from sqlalchemy import func, select

    from chatsite.database import db
    from chatsite.devtools.demo.seed import seed_conversations
    from chatsite.devtools.demo.seed_states import seed_all_states
    from chatsite.models import Conversation
    from chatsite.services.accounts import terminal_links

    app = create_app({"LOG_LEVEL": "error"})
    migrate_database(app)
    with app.app_context():
        user = seed_conversations(app.config)
        if with_states:
            seed_all_states(app.config, user)
        # Archived ones, too: the overview leads to them, as the search does.
        kept = select(func.count()).where(Conversation.user_id == user.id, Conversation.deleted_at.is_(None))
        conversation_count = db.session.scalar(kept)
        db.session.remove()
        link_url = f"{site}/terminal-links/{terminal_links.create(app.config['INSTANCE'], app.config['SECRET_KEY'])}"
    created = gettext_noop("Created %(count)s chats. Open this link in a browser within ten minutes:")
    return f"{localize(created, count=conversation_count)}\n{link_url}"
