"""Between protobuf messages and the domain. Decides nothing; refuses what cannot be read."""
