"""The services over gRPC: they translate, call the domain, and translate back."""
