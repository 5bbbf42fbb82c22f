"""WSGI entry point: `gunicorn wsgi:app`."""

from chatsite import create_app
from chatsite.private_files import create_files_privately

create_files_privately()
app = create_app()
