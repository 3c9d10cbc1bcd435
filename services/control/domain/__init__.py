"""What the mesh is made of: instances, and the snapshot of all of them. Pure."""
