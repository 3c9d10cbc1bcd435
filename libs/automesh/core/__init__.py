"""Pure Python that everything stands on: errors, ids, clock, paging. No I/O, no grpc."""
