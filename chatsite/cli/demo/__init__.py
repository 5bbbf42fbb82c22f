"""`chatsite demo`: conversations to look at, in an instance that has none, and answers in every state there is."""

from __future__ import annotations

from chatsite import create_app
from chatsite.cli.database import bring_up_to_date


def demo(site: str, states: bool) -> str:
    """Fill the instance; returns what to say of it, with an address at `site` that shows it in a browser.

    With `states` there is a conversation for every state of an answer, too: they are held as long as no runner works
    here. Raises NotEmptyError.
    """
    from chatsite.cli.demo.filling import fill
    from chatsite.cli.demo.held import hold
    from chatsite.database import db
    from chatsite.services import conversations, links

    app = create_app({"LOG_LEVEL": "error"})
    bring_up_to_date(app)
    with app.app_context():
        user = fill(app.config)
        if states:
            hold(app.config, user)
        shown = len(conversations.page(user, size=100).items)
        db.session.remove()
        address = f"{site}/links/{links.create(app.config['INSTANCE'], app.config['SECRET_KEY'])}"
    return (
        f"{shown} conversations are here. This address shows them in a browser, once and within ten minutes:\n{address}"
    )
