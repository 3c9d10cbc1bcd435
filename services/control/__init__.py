"""control: turns the catalogue of services into xDS for every process of the mesh."""
