"""The rpcs of automesh.auth.v1: translate the request, ask the domain, translate back."""
