"""From a snapshot to the Envoy messages that gRPC reads."""
