"""HTTP request -> request message: path captures, query and body, each by setters compiled from descriptors."""

from gateway.binding.request import BadBinding, RequestBinder

__all__ = ["BadBinding", "RequestBinder"]
