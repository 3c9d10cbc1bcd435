"""Generated from proto/automesh/doc/v1: do not edit."""
