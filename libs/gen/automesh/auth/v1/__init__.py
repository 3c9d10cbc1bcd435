"""Generated from proto/automesh/auth/v1: do not edit."""
