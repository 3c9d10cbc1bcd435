"""The program that fills templates in."""
