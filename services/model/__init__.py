"""model: trains models in processes of their own, registers them behind gates, and serves them."""
