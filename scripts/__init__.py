"""What installs, releases and publishes the project; no part of the site."""
