"""The engine on other machines: what starts it there."""
