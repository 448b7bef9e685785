"""A user's own pairs become sentences with masks, each with its origin and every judgement of it, to train and test on.

PAIRS ─ perceive ─► findings ─ segment ─► masks ─ verify ─► checked ─ phrase ─► sentences ─ verify ─► ledger ─► export
"""
