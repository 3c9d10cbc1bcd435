"""Small programs that stand at the start of every isolated run. Standard library only."""
