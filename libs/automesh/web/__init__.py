"""The HTTP server that the gateway and the listener of published documentation share."""
