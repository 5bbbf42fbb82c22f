"""Models of this site: the catalog, the model choice, the state on this machine, and the runners."""
