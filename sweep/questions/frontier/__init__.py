"""Which choices does no other one beat?"""
