"""Write an agent in Python, and a typed client of the platform."""
