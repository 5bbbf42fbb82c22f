"""The commands.

Each imports what it needs when it runs, so that `chatsite --help` is quick and torch stays away.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chatsite.addresses import local_site_url
from chatsite.cli.language import localize, localize_commands, localized_message
from chatsite.config import ConfigError
from chatsite.errors import ChatsiteError, StorageError, gettext_noop
from chatsite.private_files import create_files_privately

EXIT_CONFIG_ERROR = 2


@click.group(
    help=gettext_noop("A self-hosted chat site for open models."),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="chatsite")
def commands() -> None:
    """Group all commands."""


@commands.command(help=gettext_noop("Run the worker that writes answers, until SIGTERM or Ctrl-C."))
def runner_command() -> None:
    from chatsite.runner.process import run

    run()


@commands.command(help=gettext_noop("Check the settings and update the database."))
@click.option(
    "--new", is_flag=True, help=gettext_noop("Begin with an empty database, although there has been another one.")
)
def migrate_command(new: bool) -> None:
    from chatsite.cli.preflight import run_preflight

    run_preflight(allow_new=new)


@commands.command(help=gettext_noop("Download and convert the model, unless it is already there."))
def setup_command() -> None:
    from chatsite.cli.setup import fetch_configured_model

    fetch_configured_model()


@commands.group(help=gettext_noop("List, download and remove models; works with or without a running site."))
def models_group() -> None:
    """Group the commands for models."""


@models_group.command("list", help=gettext_noop("List all models."))
def list_models() -> None:
    from chatsite.cli.models import list_all

    sys.exit(list_all())


@models_group.command("show", help=gettext_noop("Show the details of the model NAME."))
@click.argument("name")
def show_model(name: str) -> None:
    from chatsite.cli.models import show_details

    sys.exit(show_details(name))


@models_group.command("pull", help=gettext_noop("Download the model NAME; continues an earlier download."))
@click.argument("name")
@click.option("--json", "lines", is_flag=True, help=gettext_noop("Print the progress as lines of JSON."))
def pull_model(name: str, lines: bool) -> None:
    from chatsite.cli.models import pull, pull_in_json

    sys.exit(pull_in_json(name) if lines else pull(name))


@models_group.command(
    "remove", help=gettext_noop("Delete the files of the model NAME from this server, or take the server NAME away.")
)
@click.argument("name")
@click.option("--yes", is_flag=True, help=gettext_noop("Do not ask for confirmation."))
def remove_model(name: str, yes: bool) -> None:
    from chatsite.cli.endpoints import remove_if_endpoint
    from chatsite.cli.models import remove

    sys.exit(0 if remove_if_endpoint(name) else remove(name, yes))


@models_group.command("discover", help=gettext_noop("Look for servers of models on this computer."))
def discover_endpoints() -> None:
    from chatsite.cli.endpoints import discover

    sys.exit(discover())


@models_group.command(
    "add", help=gettext_noop("Add the server NAME that `discover` found, or the one at an address, to this site.")
)
@click.argument("name", metavar="NAME|URL")
def add_endpoint(name: str) -> None:
    from chatsite.cli.endpoints import add

    sys.exit(add(name))


@models_group.command("endpoints", help=gettext_noop("List the servers of this site and their models."))
def list_endpoints() -> None:
    from chatsite.cli.endpoints import list_all

    sys.exit(list_all())


@commands.command(help=gettext_noop("Run the site and a runner with Flask's debugger; reloads when code changes."))
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True)
@click.option("--port", envvar="PORT", default=8000, show_default=True)
def dev_command(host: str, port: int) -> None:
    from chatsite.devtools.dev import serve_with_debugger

    serve_with_debugger(host, port)


@commands.command(help=gettext_noop("Chat in the terminal, or answer a question from standard input."))
@click.option("--site", default=local_site_url, help=gettext_noop("Address of the site, used in links."))
def chat_command(site: str) -> None:
    from chatsite.cli.chat import run_chat

    sys.exit(run_chat(site.rstrip("/")))


@commands.command(
    help=gettext_noop("Print a link that opens the terminal's chats in a browser; works once, for ten minutes.")
)
@click.option("--site", default=local_site_url, help=gettext_noop("Address of the site, used in links."))
def link_command(site: str) -> None:
    from chatsite.cli.chat import create_link

    click.echo(create_link(site.rstrip("/")))


@commands.command(help=gettext_noop("Fill an empty instance with sample chats and print a link to them."))
@click.option(
    "--states", is_flag=True, help=gettext_noop("Add an answer in every state; they keep it while no runner is active.")
)
@click.option("--site", default=local_site_url, help=gettext_noop("Address of the site, used in links."))
def demo_command(states: bool, site: str) -> None:
    from chatsite.devtools.demo import create_demo

    click.echo(create_demo(site.rstrip("/"), states))


@commands.command(help=gettext_noop("Print all settings as a table, as in docs/settings.md."))
def settings_command() -> None:
    from chatsite.cli.settings import render_settings_page

    click.echo(render_settings_page(localize), nl=False)


@commands.command(help=gettext_noop("Back up the SQLite database to FILE; safe while the site runs."))
@click.argument("file", type=click.Path(path_type=Path))
def backup_command(file: Path) -> None:
    from chatsite.cli.backup import create_backup

    others = create_backup(file)
    if others:
        names = ", ".join(str(path) for path in others)
        click.echo(localize(gettext_noop("Keep a copy of these files too: %(files)s"), files=names))


@commands.command(
    help=gettext_noop("Replace the SQLite database with the backup FILE; stop the site first. The former one is kept.")
)
@click.argument("file", type=click.Path(path_type=Path))
def restore_command(file: Path) -> None:
    from chatsite.cli.restore import restore_backup

    restored = restore_backup(file)
    click.echo(localize(gettext_noop("The backup was restored. Start the site again.")))
    if restored.former_files:
        kept = gettext_noop("The former database is in %(folder)s.")
        click.echo(localize(kept, folder=restored.former_files))
    if restored.is_key_missing:
        lost = gettext_noop("There is no secret_key here: without the old one, all visitors lose their session.")
        click.echo(localize(lost), err=True)


@commands.command(
    help=gettext_noop(
        "Export the terminal's chats to FILE: all of it as .json, or as .zip with a Markdown file for each."
    )
)
@click.argument("file", type=click.Path(path_type=Path))
def export_command(file: Path) -> None:
    from chatsite.cli.transfer import export_to_file

    export_to_file(file)


@commands.command(
    help=gettext_noop(
        "Import files, or folders of them, as chats of the terminal; the import page says which are read."
    )
)
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
def import_command(files: tuple[Path, ...]) -> None:
    from chatsite.cli.transfer import import_files

    sys.exit(import_files(files))


@commands.command(help=gettext_noop("Rebuild the search index; only needed if `chatsite doctor` says so."))
def reindex_command() -> None:
    from chatsite.cli.migrations import rebuild_search_index

    rebuild_search_index()


@commands.command(
    help=gettext_noop("Check the installation and report problems; the exit status is 1 if there are any.")
)
def doctor_command() -> None:
    from chatsite.cli.doctor import run_checks

    sys.exit(run_checks())


def main() -> None:
    """Run a command; an error that is meant for people becomes one sentence on stderr and an exit status."""
    create_files_privately()
    localize_commands(commands)
    try:
        commands()
    except ConfigError as error:
        click.echo(localized_message(error), err=True)
        sys.exit(EXIT_CONFIG_ERROR)
    except ChatsiteError as error:
        # What the driver or the system says, for those who can do something about it.
        cause = str(error.__cause__ or "").partition("\n")[0] if isinstance(error, StorageError) else ""
        click.echo(localized_message(error) + (f" ({cause})" if cause else ""), err=True)
        sys.exit(1)
