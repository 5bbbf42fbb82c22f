"""HTTP and nothing else: access, one service call, render."""

from __future__ import annotations

from flask import Flask


def init_app(app: Flask) -> None:
    """Bind everything that speaks HTTP to the app."""
    from chatsite.web import (
        access,
        answerers,
        assets,
        cards,
        choosing,
        conversations,
        errors,
        fragments,
        health,
        htmx,
        hub,
        i18n,
        language,
        links,
        messages,
        method,
        models,
        receipts,
        security,
        streams,
    )

    htmx.init_app(app)
    i18n.init_app(app)
    access.init_app(app)
    fragments.init_app(app)
    security.init_app(app)
    assets.init_app(app)
    errors.init_app(app)
    hub.init_app(app)
    streams.init_app(app)
    receipts.init_app(app)
    choosing.init_app(app)
    cards.init_app(app)
    method.init_app(app)
    for module in (conversations, answerers, messages, receipts, streams, models, language, links, health):
        app.register_blueprint(module.bp)
