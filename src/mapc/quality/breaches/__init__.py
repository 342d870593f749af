"""Ways to break plans, one module for each family: ``breaches(problem, plan)`` yields them.

They know the rules, not the verifier: nothing here is shared with it.
"""
