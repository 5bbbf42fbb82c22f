"""What the Markdown parser reads beside CommonMark, and reads in another way."""
