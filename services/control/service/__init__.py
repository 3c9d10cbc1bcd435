"""What control serves: its rpcs, xDS, and the Unix socket for xDS clients of this host."""
