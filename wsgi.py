"""What gunicorn serves: `gunicorn wsgi:app`."""

from chatsite import create_app

app = create_app()
