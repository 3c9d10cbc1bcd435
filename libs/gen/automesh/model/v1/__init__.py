"""Generated from proto/automesh/model/v1: do not edit."""
