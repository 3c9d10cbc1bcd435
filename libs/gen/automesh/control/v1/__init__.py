"""Generated from proto/automesh/control/v1: do not edit."""
