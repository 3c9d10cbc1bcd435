"""What runs in control all the time: following the catalogue."""
