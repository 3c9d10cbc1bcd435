"""Publishing: sites, releases, switches."""
