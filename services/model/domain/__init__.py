"""What trainings, runs and models are, and how they may change. No I/O, no grpc, no SQL, no torch."""
