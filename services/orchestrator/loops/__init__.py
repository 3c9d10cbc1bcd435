"""What runs by itself: leasing, extending, reaping, writing reports, cleaning up. Each survives any failure."""
