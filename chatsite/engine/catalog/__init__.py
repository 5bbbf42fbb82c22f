"""The models that the site knows: built-in ones and the owner's."""
