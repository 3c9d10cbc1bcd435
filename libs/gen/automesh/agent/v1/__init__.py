"""Generated from proto/automesh/agent/v1: do not edit."""
