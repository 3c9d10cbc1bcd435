"""What the doc service knows by itself: no gRPC, no SQL, no files."""
