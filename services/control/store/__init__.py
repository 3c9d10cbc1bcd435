"""What control keeps: the registrations of the embedded registry, and a memory of the last catalogue."""
