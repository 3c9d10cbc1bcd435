"""The program that builds a site."""
