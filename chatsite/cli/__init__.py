"""The commands.

Each imports what it needs when it runs, so that `chatsite --help` is quick and torch stays away.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from chatsite.config import ConfigError
from chatsite.errors import ChatsiteError

UNUSABLE_SETTING = 2


def local_site() -> str:
    """Where the site is on this machine, as far as HOST and PORT tell."""
    host = os.environ.get("HOST", "")
    name = "localhost" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104
    return f"http://{name}:{os.environ.get('PORT') or 8000}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="chatsite")
def commands() -> None:
    """A self-hosted chat site on open models."""


@commands.command()
@click.option("--parent", type=int, default=0, hidden=True, help="End when this process is no longer the parent.")
def runner(parent: int) -> None:
    """Own the model and write answers, until SIGTERM or Ctrl-C."""
    from chatsite.cli.runner import run

    run(parent)


@commands.command(hidden=True)
@click.argument("owner")
@click.option("--parent", type=int, required=True)
def importer(owner: str, parent: int) -> None:
    """Import, as OWNER, the files that wait; runners start this."""
    from chatsite.cli.importer import run

    run(owner, parent)


@commands.command()
def migrate() -> None:
    """Check the settings and bring the database up to date."""
    from chatsite.cli.starting import prepare

    prepare()


@commands.command()
def setup() -> None:
    """Fetch the model and convert it, unless it is there already."""
    from chatsite.cli.setup import setup

    setup()


@commands.group()
def models() -> None:
    """See, fetch and remove the models on this machine, whether the site runs or not."""


@models.command("list")
def list_models() -> None:
    """Print a table of all models."""
    from chatsite.cli.models import show_all

    sys.exit(show_all())


@models.command("show")
@click.argument("name")
def show_model(name: str) -> None:
    """Print all that is known of the model NAME."""
    from chatsite.cli.models import show

    sys.exit(show(name))


@models.command("pull")
@click.argument("name")
@click.option("--json", "lines", is_flag=True, help="Tell in lines of JSON on stdout how far it is.")
@click.option("--parent", type=int, default=0, hidden=True, help="End when this process is no longer the parent.")
def pull_model(name: str, lines: bool, parent: int) -> None:
    """Fetch the model NAME, going on where an earlier try ended."""
    from chatsite.cli.models import pull, pull_for_runner

    sys.exit(pull_for_runner(name, parent) if lines else pull(name))


@models.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_model(name: str, yes: bool) -> None:
    """Delete the weights of the model NAME from this machine."""
    from chatsite.cli.models import remove

    sys.exit(remove(name, yes))


@commands.command()
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True)
@click.option("--port", envvar="PORT", default=8000, show_default=True)
def dev(host: str, port: int) -> None:
    """Serve the site with Flask's debugger, loading code again when it changes, beside a runner."""
    from chatsite.cli.dev import serve

    serve(host, port)


@commands.command()
@click.option("--site", default=local_site, help="Address of the site, for links to it.")
def chat(site: str) -> None:
    """Talk in the terminal, or answer a question that is piped in."""
    from chatsite.cli.chat import chat

    sys.exit(chat(site.rstrip("/")))


@commands.command()
@click.option("--site", default=local_site, help="Address of the site.")
def link(site: str) -> None:
    """Print an address that shows the terminal's conversations in a browser, once and within ten minutes."""
    from chatsite.cli.chat import link

    click.echo(link(site.rstrip("/")))


@commands.command()
@click.option("--states", is_flag=True, help="Add an answer in every state; they keep it while no runner works here.")
@click.option("--site", default=local_site, help="Address of the site.")
def demo(states: bool, site: str) -> None:
    """Fill an instance that has no conversations with some to look at, and print an address that shows them."""
    from chatsite.cli.demo import demo

    click.echo(demo(site.rstrip("/"), states))


@commands.command()
def settings() -> None:
    """Print the table of all settings, as it stands in docs/settings.md."""
    from chatsite.cli.settings import page

    click.echo(page(), nl=False)


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write a whole copy of the SQLite database to FILE while the site runs."""
    from chatsite.cli.backup import back_up

    back_up(file)


@commands.command()
def reindex() -> None:
    """Index all messages and titles for search anew; needed only if the doctor says so."""
    from chatsite.cli.database import reindex

    reindex()


@commands.command()
def doctor() -> None:
    """Say what this installation consists of and what ails it; the exit status is 1 if anything does."""
    from chatsite.cli.doctor import examine

    sys.exit(examine())


def main() -> None:
    """Run a command; an error that is meant for people becomes one sentence on stderr and an exit status."""
    try:
        commands()
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(UNUSABLE_SETTING)
    except ChatsiteError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
