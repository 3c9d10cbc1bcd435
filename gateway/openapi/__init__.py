"""OpenAPI 3.1 of everything the gateway serves, made from descriptors and their comments."""

from gateway.openapi.document import openapi_document

__all__ = ["openapi_document"]
