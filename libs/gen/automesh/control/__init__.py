"""Generated from proto/automesh/control: do not edit."""
