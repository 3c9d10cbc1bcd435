"""Analytics: what is read, and looked for in vain."""
