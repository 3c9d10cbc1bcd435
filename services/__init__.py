"""The services of the mesh: one package each; they meet over gRPC only."""
