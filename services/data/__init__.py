"""The data service: takes data in, has it processed by agents, and keeps versions that never change."""
