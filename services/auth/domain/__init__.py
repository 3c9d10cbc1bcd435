"""Who people and programs are and what they may do. Pure rules and use cases; storage and cryptography are ports."""
