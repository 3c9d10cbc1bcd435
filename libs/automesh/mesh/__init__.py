"""How a process joins the mesh: identity, server, channels, access, audit, registration."""
