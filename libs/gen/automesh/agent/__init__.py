"""Generated from proto/automesh/agent: do not edit."""
