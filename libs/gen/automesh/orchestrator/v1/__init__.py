"""Generated from proto/automesh/orchestrator/v1: do not edit."""
