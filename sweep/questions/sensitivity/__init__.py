"""What drives an output?"""
