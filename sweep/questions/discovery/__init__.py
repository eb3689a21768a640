"""Within which limits of what is uncertain does an outcome come about?"""
