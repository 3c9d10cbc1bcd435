"""A program that fills templates in, each in a process of its own with little time and little memory.

It is given nothing but what a template needs: no environment, no files, no network. See worker.py for its messages.
"""
