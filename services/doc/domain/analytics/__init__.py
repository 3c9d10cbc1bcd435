"""What is read, and what is looked for in vain: counted, rolled up, and forgotten where no person is to be stored."""
