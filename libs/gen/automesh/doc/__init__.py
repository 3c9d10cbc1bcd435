"""Generated from proto/automesh/doc: do not edit."""
