"""Generated from proto/automesh/model: do not edit."""
