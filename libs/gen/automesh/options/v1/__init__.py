"""Generated from proto/automesh/options/v1: do not edit."""
