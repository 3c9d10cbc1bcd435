"""What other systems are told, and how it reaches them."""
