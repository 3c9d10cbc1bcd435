"""The rpcs of automesh.auth.v1, and auth's own audit entries: translate, ask the domain, translate back."""
