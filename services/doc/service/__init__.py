"""The services of automesh.doc.v1 over gRPC: they translate, call the domain, and translate back."""
