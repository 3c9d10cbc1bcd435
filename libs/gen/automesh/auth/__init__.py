"""Generated from proto/automesh/auth: do not edit."""
