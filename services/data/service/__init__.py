"""DataService and ProcessingService over gRPC: they translate, call the domain, and translate back."""
