"""Endpoints in the terminal: look for servers on this machine, add one, list them, and remove one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
from flask_babel import force_locale, gettext, ngettext
from rich.console import Console
from rich.table import Table

from chatsite import create_app
from chatsite.cli.language import detect_language
from chatsite.cli.migrations import migrate_database
from chatsite.cli.output import strip_control_chars
from chatsite.config import flask_config, read_settings
from chatsite.engine.catalog.catalog import list_entries
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, name_for, parse_url
from chatsite.errors import ChatsiteError, EndpointConfiguredError, EndpointNotFoundError
from chatsite.i18n import format_bytes, format_compact, format_count, translate_error
from chatsite.models import EndpointState
from chatsite.services.models import endpoint_status, endpoints
from chatsite.services.models.catalog import CatalogConfig, read_catalog_config
from chatsite.services.models.endpoint_status import EndpointFacts
from chatsite.services.models.endpoints import EndpointCard

if TYPE_CHECKING:
    from chatsite.engine.remote.probe import EndpointReport

EXIT_FAILED = 1
FOUND_SERVERS = dict[str, tuple[Endpoint, EndpointFacts]]


def discover() -> int:
    """Look for servers on this machine, print what they have, and keep what was found for `add` and the pages."""
    with _open_site() as config:
        found = _discover(config)
        if not found:
            click.echo(gettext("No other servers were found."))
            return 0
        _print_servers([(endpoint, facts.models, "") for endpoint, facts in found.values()])
        known = {card.name for card in endpoints.list_cards(config)}
        for name in found.keys() - known:
            click.echo(gettext("Add it: %(command)s", command=f"chatsite models add {name}"))
        return 0


def add(name_or_url: str) -> int:
    """Add a server to this site: one that is found on this machine, by its name, or any one by its address.

    It has to answer. Return the exit status.
    """
    with _open_site() as config:
        try:
            endpoint, facts = _find_server(config, name_or_url)
            if any(card.is_configured and card.name == endpoint.name for card in endpoints.list_cards(config)):
                raise EndpointConfiguredError
        except ChatsiteError as error:
            click.echo(translate_error(error), err=True)
            return EXIT_FAILED
        endpoints.add_endpoint(endpoint)
        endpoint_status.save_facts(endpoint, facts)
        _print_servers([(endpoint, facts.models, "")])
        click.echo(gettext("%(server)s was added.", server=endpoint.name))
        return 0


def list_all() -> int:
    """Print the servers of this site with their models."""
    with _open_site() as config:
        cards = endpoints.list_cards(config)
        _print_servers([(card.endpoint, card.models, _status_text(card)) for card in cards])
        if not cards:
            click.echo(gettext("No other servers have been added."))
        return 0


def remove_if_endpoint(name: str) -> bool:
    """Take an endpoint from this site; return False if none has that name. Raises EndpointConfiguredError."""
    config = flask_config(read_settings())
    if name in {entry.name for entry in list_entries(config["CUSTOM_MODELS_FILE"])}:
        return False
    with _open_site() as catalog_config:
        try:
            endpoints.remove(catalog_config, name)
        except EndpointNotFoundError:
            return False
        click.echo(gettext("%(model)s was removed.", model=name))
        return True


@contextmanager
def _open_site() -> Iterator[CatalogConfig]:
    """Open the database, in the language of the environment. Raises what `migrate_database` raises."""
    app = create_app({"LOG_LEVEL": "error"})
    migrate_database(app)
    with app.app_context(), force_locale(detect_language(app)):
        yield read_catalog_config(app.config)


def _discover(config: CatalogConfig) -> FOUND_SERVERS:
    from chatsite.engine.remote.discovery import discover_endpoints

    found = [(endpoint, _read_report(report)) for endpoint, report in discover_endpoints()]
    endpoint_status.finish_discovery(config, found)
    return {endpoint.name: (endpoint, facts) for endpoint, facts in found}


def _find_server(config: CatalogConfig, name_or_url: str) -> tuple[Endpoint, EndpointFacts]:
    """Return a server and what it says. Raises EndpointNotFoundError, InvalidEndpointUrlError, EndpointError."""
    if "://" not in name_or_url:
        found = _discover(config).get(name_or_url)
        if found is None:
            raise EndpointNotFoundError
        return found
    from chatsite.engine.remote.client import EndpointClient

    url = parse_url(name_or_url)
    endpoint = Endpoint(name_for(url), url)
    client = EndpointClient(endpoint, "")
    try:
        return endpoint, _read_report(client.probe())
    finally:
        client.close()


def _read_report(report: EndpointReport) -> EndpointFacts:
    return EndpointFacts(report.family, report.models, report.capabilities, report.max_answers)


def _status_text(card: EndpointCard) -> str:
    if card.error:
        return translate_error(card.error)
    return str(gettext("Ready") if card.state is EndpointState.READY else gettext("Not asked yet"))


def _print_servers(servers: Sequence[tuple[Endpoint, Sequence[RemoteModel], str]]) -> None:
    """Print each server with its address and its models; names of models come from servers, so they are cleaned."""
    console = Console(highlight=False, markup=False)
    for endpoint, models, status in servers:
        parts = [endpoint.name, urlsplit(endpoint.url).netloc, _destination(endpoint), status]
        console.print(" · ".join(filter(None, parts)), style="bold", soft_wrap=True)
        grid = Table(box=None, pad_edge=False, show_header=False)
        for model in models[: endpoints.MAX_LISTED_MODELS]:
            grid.add_row(f"  {strip_control_chars(f'{endpoint.name}/{model.id}')}", *_model_facts(model))
        console.print(grid)
        more = len(models) - endpoints.MAX_LISTED_MODELS
        if more > 0:
            console.print(ngettext("%(num)s more model", "%(num)s more models", more))


def _destination(endpoint: Endpoint) -> str:
    if endpoint.is_loopback:
        return str(gettext("Your messages stay on this computer"))
    if endpoint.is_local:
        return str(gettext("Your messages stay in this network: %(host)s", host=endpoint.host))
    return str(gettext("Your messages leave this computer: %(host)s", host=endpoint.host))


def _model_facts(model: RemoteModel) -> tuple[str, str, str]:
    """Return the parameters, the size and the context window of a model, each empty if it is not known."""
    return (
        format_compact(model.parameter_count) if model.parameter_count else "",
        format_bytes(model.size_bytes) if model.size_bytes else "",
        str(gettext("%(count)s tokens", count=format_count(model.context_tokens))) if model.context_tokens else "",
    )
