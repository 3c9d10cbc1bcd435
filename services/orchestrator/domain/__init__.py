"""What tasks, leases and agents are, and how they may change. No I/O, no grpc, no SQL."""
