"""The runner: the process that connects the services with an engine and writes answers."""
