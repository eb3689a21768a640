"""How should a budget be split?"""
