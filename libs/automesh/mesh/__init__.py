"""How a process joins the mesh: server, channel, identity, registry, policy, health."""
