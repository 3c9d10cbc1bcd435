"""gateway: HTTP/JSON to gRPC for every annotated rpc of the mesh."""
