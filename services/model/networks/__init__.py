"""The networks themselves, for those who train them and those who serve them.."""
