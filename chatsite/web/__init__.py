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
        comparisons,
        conversations,
        drafts,
        errors,
        exports,
        fragments,
        health,
        htmx,
        hub,
        i18n,
        imports,
        language,
        library,
        links,
        messages,
        method,
        models,
        personas,
        ratings,
        reading,
        receipts,
        search,
        security,
        selections,
        settings,
        shared,
        shares,
        shelves,
        streams,
        tags,
        temporary,
        trash,
        undoing,
        undos,
        versions,
        wishes,
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
    wishes.init_app(app)
    drafts.init_app(app)
    comparisons.init_app(app)
    reading.init_app(app)
    search.init_app(app)
    versions.init_app(app)
    shares.init_app(app)
    undoing.init_app(app)
    imports.init_app(app)
    method.init_app(app)
    fragments.share_macros(app)
    for module in (
        exports,
        imports,
        conversations,
        shelves,
        trash,
        tags,
        selections,
        undos,
        library,
        answerers,
        settings,
        personas,
        drafts,
        comparisons,
        messages,
        search,
        receipts,
        streams,
        models,
        language,
        links,
        shares,
        shared,
        temporary,
        health,
        versions,
        ratings,
    ):
        app.register_blueprint(module.bp)
