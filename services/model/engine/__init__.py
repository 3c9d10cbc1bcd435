"""The parts of the service, put together: each file one part with its servicers and loops."""
