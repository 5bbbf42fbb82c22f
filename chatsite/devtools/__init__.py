"""Tools for developers: style guide, design tokens, demo data. Not part of a production site."""
