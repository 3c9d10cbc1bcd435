"""The doc service of one replica, put together: what all parts share, and a module a part."""
