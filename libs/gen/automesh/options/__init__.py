"""Generated from proto/automesh/options: do not edit."""
