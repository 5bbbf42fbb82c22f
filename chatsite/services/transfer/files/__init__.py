"""Uploaded files: archives are opened and texts are cut into records, whatever product they come from."""
