"""Generated from proto/automesh/orchestrator: do not edit."""
