"""Programs that run inside the sandbox. They import nothing of automesh and trust nothing they meet."""
